;; A plugin that asks for the store, and for nothing else that needs a grant.
(component
  (import "sluicegate:hooks/store@0.1.0" (instance))
  (core module $empty (func (export "on-request")))
  (core instance $program (instantiate $empty))
  (func $on-request (canon lift (core func $program "on-request")))
  (instance $exported (export "on-request" (func $on-request)))
  (export "sluicegate:hooks/request-hook@0.1.0" (instance $exported)))
