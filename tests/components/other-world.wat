;; A component for something else: it exports what a command line program does.
(component
  (core module $empty (func (export "run") (result i32) i32.const 0))
  (core instance $program (instantiate $empty))
  (func $run (result (result)) (canon lift (core func $program "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
