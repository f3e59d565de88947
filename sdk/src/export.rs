//! `export!`: the one line that makes a type the plugin of its file.
//!
//! A WebAssembly file must export the hooks it has and no others, for the host calls what it finds. So the
//! list is written out, and the compiler holds it against the implementations in both directions: each hook
//! trait has [`Exported`] as a supertrait, which only `export!` implements, and `export!` asks for each trait
//! it names.

/// That `export!` lists the hook `H` for this plugin.
#[diagnostic::on_unimplemented(
    message = "`{Self}` implements this hook, but its `export!` line does not list it",
    label = "the host would never call it: add its name to the `export!` line"
)]
pub trait Exported<H> {}

/// Names of the hooks, as parameters of [`Exported`].
pub mod hook {
    /// Stands for the trait of this name.
    #[derive(Debug)]
    pub enum RequestHook {}
    /// Stands for the trait of this name.
    #[derive(Debug)]
    pub enum ResponseHook {}
    /// Stands for the trait of this name.
    #[derive(Debug)]
    pub enum SessionHook {}
}

/// Make a type the plugin of this crate, with the hooks listed.
///
/// Write it once, at the top level of the crate. The settings are always exported; of the hooks exactly those
/// that are listed. Listing a hook that is not implemented, or implementing one that is not listed, does not
/// compile. Natively it only checks, so that tests run anywhere.
///
/// ```
/// use sluicegate_sdk::prelude::*;
///
/// struct Tracer;
///
/// impl Plugin for Tracer {
///     type Settings = NoSettings;
///     fn configure(_: NoSettings) -> Result<Self, ConfigureError> { Ok(Self) }
/// }
/// impl RequestHook for Tracer {
///     fn on_request(&self, request: &Request) -> RequestVerdict {
///         log::info!("{} {}", request.method(), request.path());
///         RequestVerdict::Pass
///     }
/// }
/// impl ResponseHook for Tracer {
///     fn on_response(&self, _: &Request, response: &ResponseHead) {
///         log::info!("{}", response.status());
///     }
/// }
///
/// export!(Tracer: RequestHook, ResponseHook);
/// ```
#[macro_export]
macro_rules! export {
    ($plugin:ident : $($hook:ident),+ $(,)?) => {
        $crate::__export_lifecycle!($plugin);
        $($crate::__export_hook!($plugin, $hook);)+
    };
    ($($anything:tt)*) => {
        ::core::compile_error!(
            "write the plugin's name and the hooks it has: `export!(MyPlugin: RequestHook, SessionHook);`"
        );
    };
}

/// One hook of the list: mark it as listed, and give the host its functions.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    ($plugin:ident, RequestHook) => {
        impl $crate::__private::Exported<$crate::__private::hook::RequestHook> for $plugin {}
        $crate::__export_functions!($plugin, RequestHook, request, RequestExport);
    };
    ($plugin:ident, ResponseHook) => {
        impl $crate::__private::Exported<$crate::__private::hook::ResponseHook> for $plugin {}
        $crate::__export_functions!($plugin, ResponseHook, response, ResponseExport);
    };
    ($plugin:ident, SessionHook) => {
        impl $crate::__private::Exported<$crate::__private::hook::SessionHook> for $plugin {}
        $crate::__export_functions!($plugin, SessionHook, session, SessionExport);
    };
    ($plugin:ident, $unknown:ident) => {
        ::core::compile_error!(::core::concat!(
            "unknown hook `",
            ::core::stringify!($unknown),
            "`; the hooks are `RequestHook`, `ResponseHook` and `SessionHook`"
        ));
    };
}

/// Natively there is no host: ask for the traits, so that the errors are those of the real build.
#[cfg(not(target_arch = "wasm32"))]
mod native {
    #[doc(hidden)]
    #[macro_export]
    macro_rules! __export_lifecycle {
        ($plugin:ident) => {
            const _: fn() = || {
                fn plugin<P: $crate::Plugin>() {}
                plugin::<$plugin>();
            };
        };
    }

    #[doc(hidden)]
    #[macro_export]
    macro_rules! __export_functions {
        ($plugin:ident, $hook:ident, $module:ident, $export:ident) => {
            const _: fn() = || {
                fn hook<P: $crate::$hook>() {}
                hook::<$plugin>();
            };
        };
    }
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    /// The plugin that `configure` made is kept in the plugin's own crate, where its type is known.
    #[doc(hidden)]
    #[macro_export]
    macro_rules! __export_lifecycle {
        ($plugin:ident) => {
            const _: () = {
                impl $crate::__private::Installed for $plugin {
                    fn place() -> &'static $crate::__private::Place<Self> {
                        ::std::thread_local! {
                            static PLUGIN: ::core::cell::Cell<::core::option::Option<&'static $plugin>> =
                                const { ::core::cell::Cell::new(::core::option::Option::None) };
                        }
                        &PLUGIN
                    }
                }
                type Export = $crate::__private::LifecycleExport<$plugin>;
                $crate::__private::lifecycle::export!(
                    Export with_types_in $crate::__private::lifecycle
                );
            };
        };
    }

    #[doc(hidden)]
    #[macro_export]
    macro_rules! __export_functions {
        ($plugin:ident, $hook:ident, $module:ident, $export:ident) => {
            const _: () = {
                type Export = $crate::__private::$export<$plugin>;
                $crate::__private::$module::export!(
                    Export with_types_in $crate::__private::$module
                );
            };
        };
    }
}
