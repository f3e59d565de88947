;; A plugin for a later host: the hook it exports is not known yet.
(component
  (core module $empty (func (export "on-bytes")))
  (core instance $program (instantiate $empty))
  (func $on-bytes (canon lift (core func $program "on-bytes")))
  (instance $exported (export "on-bytes" (func $on-bytes)))
  (export "sluicegate:hooks/byte-hook@0.1.0" (instance $exported)))
