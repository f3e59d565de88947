;; A hook of the right name with a function of another type.
(component
  (core module $empty (func (export "on-request")))
  (core instance $program (instantiate $empty))
  (func $on-request (canon lift (core func $program "on-request")))
  (instance $exported (export "on-request" (func $on-request)))
  (export "sluicegate:hooks/request-hook@0.1.0" (instance $exported)))
