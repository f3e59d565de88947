;; A core module that carries no component type.
(module (func (export "on-request")))
