//! The functions a plugin exports: found once in its component, and called in each of its instances.

use std::marker::PhantomData;

use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, Resource, ResourceAny,
    TypedFunc,
};

use super::component::HOOKS;
use super::hook::Hook;
use super::instance::{MessageVerdict, RequestVerdict};
use super::state::{LentConnection, LentRequest, LentResponse, State};
use super::way::Way;
use super::{CloseInfo, MessageRef, Response, Side};

/// What a function takes and gives, as `wit/` has it.
pub(super) trait Signature {
    const HOOK: Hook;
    /// The interface it is in, by its place in [`HOOKS`].
    const INTERFACE: usize;
    const NAME: &'static str;
    type Parameters<'a>: ComponentNamedList + Lower + Send + Sync;
    type Results: ComponentNamedList + Lift + Send + Sync + 'static;
}

/// A function of a component.
pub(super) struct Function<S> {
    index: ComponentExportIndex,
    signature: PhantomData<fn() -> S>,
}

/// What a plugin exports; none where it does not have that hook.
pub(super) struct Exports {
    pub configure: Option<Function<Configure>>,
    pub on_request: Option<Function<OnRequest>>,
    pub on_response: Option<Function<OnResponse>>,
    pub session: Option<SessionExports>,
}

/// The functions of `session-hook`.
pub(super) struct SessionExports {
    pub open: Function<Open>,
    pub on_message: Function<OnMessage>,
    pub on_timer: Function<OnTimer>,
    pub on_drain: Function<OnDrain>,
    pub on_close: Function<OnClose>,
    pub export_state: Function<ExportState>,
    pub import_state: Function<ImportState>,
}

/// The component does not have a hook's functions as this proxy calls them.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Mismatch {
    /// The interface, as its last part has it.
    pub hook: &'static str,
    pub text: String,
}

macro_rules! signatures {
    ($($hook:ident: $interface:literal $name:literal ($($parameter:ty),*) -> ($($result:ty)?);)*) => {
        $(
            #[derive(Debug, Clone, Copy)]
            pub(super) enum $hook {}

            impl Signature for $hook {
                const HOOK: Hook = Hook::$hook;
                const INTERFACE: usize = $interface;
                const NAME: &'static str = $name;
                type Parameters<'a> = ($($parameter,)*);
                type Results = ($($result,)?);
            }
        )*
    };
}

signatures! {
    Configure: 0 "configure" (&'a str) -> (Result<(), String>);
    OnRequest: 1 "on-request" (Resource<LentRequest>) -> (RequestVerdict);
    OnResponse: 2 "on-response" (Resource<LentRequest>, Resource<LentResponse>) -> ();
    Open: 3 "[static]session.open"
        (Resource<LentRequest>, Resource<LentConnection>) -> (Result<ResourceAny, Response>);
    OnMessage: 3 "[method]session.on-message"
        (ResourceAny, Resource<LentConnection>, Side, MessageRef<'a>) -> (MessageVerdict);
    OnTimer: 3 "[method]session.on-timer" (ResourceAny, Resource<LentConnection>) -> ();
    OnDrain: 3 "[method]session.on-drain" (ResourceAny, Resource<LentConnection>) -> ();
    OnClose: 3 "[method]session.on-close" (ResourceAny, Resource<LentConnection>, CloseInfo<'a>) -> ();
    ExportState: 3 "[method]session.export-state" (ResourceAny) -> (Option<Vec<u8>>);
    ImportState: 3 "[static]session.import-state"
        (Resource<LentConnection>, &'a [u8]) -> (Result<ResourceAny, String>);
}

// === impl Exports ===

impl Exports {
    /// Find the functions of the hooks a component has. They are not to be called before [`Exports::verify`] has seen them.
    pub fn find(pre: &InstancePre<State>) -> Result<Self, Mismatch> {
        let has = |interface: &str| pre.component().get_export_index(None, interface).is_some();
        let [configure, on_request, on_response, session] = HOOKS.map(has);
        Ok(Self {
            configure: configure.then(|| Function::find(pre)).transpose()?,
            on_request: on_request.then(|| Function::find(pre)).transpose()?,
            on_response: on_response.then(|| Function::find(pre)).transpose()?,
            session: session.then(|| SessionExports::find(pre)).transpose()?,
        })
    }

    /// Whether the functions take and give what they are called with: to be asked once, of the first instance there is.
    pub fn verify(&self, store: &mut Store<State>, instance: &Instance) -> Result<(), Mismatch> {
        let Self { configure, on_request, on_response, session } = self;
        configure.as_ref().map_or(Ok(()), |function| function.verify(store, instance))?;
        on_request.as_ref().map_or(Ok(()), |function| function.verify(store, instance))?;
        on_response.as_ref().map_or(Ok(()), |function| function.verify(store, instance))?;
        session.as_ref().map_or(Ok(()), |session| session.verify(store, instance))
    }
}

// === impl SessionExports ===

impl SessionExports {
    fn find(pre: &InstancePre<State>) -> Result<Self, Mismatch> {
        Ok(Self {
            open: Function::find(pre)?,
            on_message: Function::find(pre)?,
            on_timer: Function::find(pre)?,
            on_drain: Function::find(pre)?,
            on_close: Function::find(pre)?,
            export_state: Function::find(pre)?,
            import_state: Function::find(pre)?,
        })
    }

    fn verify(&self, store: &mut Store<State>, instance: &Instance) -> Result<(), Mismatch> {
        let Self { open, on_message, on_timer, on_drain, on_close, export_state, import_state } = self;
        open.verify(store, instance)?;
        on_message.verify(store, instance)?;
        on_timer.verify(store, instance)?;
        on_drain.verify(store, instance)?;
        on_close.verify(store, instance)?;
        export_state.verify(store, instance)?;
        import_state.verify(store, instance)
    }
}

// === impl Function ===

impl<S: Signature> Function<S> {
    pub fn find(pre: &InstancePre<State>) -> Result<Self, Mismatch> {
        let interface = HOOKS.get(S::INTERFACE).copied().unwrap_or_default();
        let component = pre.component();
        let index = component
            .get_export_index(None, interface)
            .and_then(|interface| component.get_export_index(Some(&interface), S::NAME))
            .ok_or_else(|| Self::mismatch(format!("there is no `{}`", S::NAME)))?;
        Ok(Self { index, signature: PhantomData })
    }

    pub fn verify(&self, store: &mut Store<State>, instance: &Instance) -> Result<(), Mismatch> {
        let typed = instance.get_typed_func::<S::Parameters<'static>, S::Results>(store, self.index);
        typed.map(drop).map_err(|error| Self::mismatch(format!("`{}`: {error:#}", S::NAME)))
    }

    pub async fn call(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        way: Way,
        parameters: S::Parameters<'_>,
    ) -> wasmtime::Result<S::Results> {
        let function = instance.get_func(&mut *store, self.index).ok_or_else(no_such_function)?;
        // SAFETY: a plugin leaves its loader only once `verify` has found that this function has these parameters and
        // results; they differ in nothing but a lifetime.
        let function: TypedFunc<S::Parameters<'_>, S::Results> =
            unsafe { TypedFunc::new_unchecked(function) };
        match way {
            Way::Fiber => function.call_async(store, parameters).await,
            Way::Direct => function.call(store, parameters),
        }
    }

    fn mismatch(text: String) -> Mismatch {
        let interface = HOOKS.get(S::INTERFACE).copied().unwrap_or_default();
        let hook = interface.split(['/', '@']).nth(1).unwrap_or_default();
        Mismatch { hook, text }
    }
}

fn no_such_function() -> wasmtime::Error {
    wasmtime::format_err!("the instance is of another component")
}
