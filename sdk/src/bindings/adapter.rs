//! From the generated traits to the plugin's own.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::thread::LocalKey;

use super::{imports, lifecycle, request, response, session};
use crate::plugin::configure;
use crate::text::Texts;
use crate::{
    CloseInfo, Connection, Message, MessageVerdict, Plugin, Request, RequestHook, RequestVerdict, Response,
    ResponseHead, ResponseHook, Session, SessionHook, Side,
};

/// Where the plugin of this instance is kept. It lives as long as the instance.
pub type Place<P> = LocalKey<Cell<Option<&'static P>>>;

/// A plugin named by an `export!` line.
pub trait Installed: Plugin {
    /// This plugin's place.
    fn place() -> &'static Place<Self>;
}

/// The plugin that `configure` made. The host calls no hook before that; were it to, the call traps.
fn installed<P: Installed>() -> &'static P {
    match P::place().get() {
        Some(plugin) => plugin,
        None => core::arch::wasm32::unreachable(),
    }
}

/// Exports `lifecycle` for the plugin `P`.
pub struct LifecycleExport<P>(PhantomData<P>);

impl<P: Installed> lifecycle::exports::sluicegate::hooks::lifecycle::Guest for LifecycleExport<P> {
    fn configure(settings: String) -> Result<(), String> {
        std::panic::set_hook(Box::new(|panic| crate::log::error!("{panic}")));
        let plugin = configure::<P>(&settings).map_err(|error| error.to_string())?;
        P::place().set(Some(Box::leak(Box::new(plugin))));
        Ok(())
    }
}

/// Exports `request-hook` for the plugin `P`.
pub struct RequestExport<P>(PhantomData<P>);

impl<P: RequestHook + Installed> request::exports::sluicegate::hooks::request_hook::Guest
    for RequestExport<P>
{
    fn on_request(request: &Request) -> RequestVerdict {
        installed::<P>().on_request(request)
    }
}

/// Exports `response-hook` for the plugin `P`.
pub struct ResponseExport<P>(PhantomData<P>);

impl<P: ResponseHook + Installed> response::exports::sluicegate::hooks::response_hook::Guest
    for ResponseExport<P>
{
    fn on_response(request: &Request, response: &ResponseHead) {
        installed::<P>().on_response(request, response);
    }
}

/// Exports `session-hook` for the plugin `P`.
pub struct SessionExport<P>(PhantomData<P>);

impl<P: SessionHook + Installed> session::exports::sluicegate::hooks::session_hook::Guest
    for SessionExport<P>
{
    type Session = OpenSession<P>;
}

/// The resource `session`. Calls of one session never overlap, so its borrow never fails.
pub struct OpenSession<P: SessionHook>(RefCell<P::Session>);

impl<P: SessionHook + Installed> OpenSession<P> {
    fn own(session: P::Session) -> session::exports::sluicegate::hooks::session_hook::Session {
        session::exports::sluicegate::hooks::session_hook::Session::new(Self(RefCell::new(session)))
    }
}

impl<P: SessionHook + Installed> session::exports::sluicegate::hooks::session_hook::GuestSession
    for OpenSession<P>
{
    fn open(
        request: &Request,
        connection: &Connection,
    ) -> Result<session::exports::sluicegate::hooks::session_hook::Session, Response> {
        installed::<P>().open(request, connection).map(Self::own)
    }

    fn on_message(&self, connection: &Connection, sender: Side, message: Message) -> MessageVerdict {
        let mut session = self.0.borrow_mut();
        session.on_message(installed::<P>(), connection, sender, message)
    }

    fn on_timer(&self, connection: &Connection) {
        self.0.borrow_mut().on_timer(installed::<P>(), connection);
    }

    fn on_drain(&self, connection: &Connection) {
        self.0.borrow_mut().on_drain(installed::<P>(), connection);
    }

    fn on_close(&self, connection: &Connection, closed: CloseInfo) {
        let mut session = self.0.borrow_mut();
        session.on_close(installed::<P>(), connection, closed);
    }

    fn export_state(&self) -> Option<Vec<u8>> {
        self.0.borrow().export_state(installed::<P>())
    }

    fn import_state(
        connection: &Connection,
        state: Vec<u8>,
    ) -> Result<session::exports::sluicegate::hooks::session_hook::Session, String> {
        P::Session::import_state(installed::<P>(), connection, state).map(Self::own)
    }
}

/// A lent resource, given to the hook as the crate's type and dropped when the hook returns.
macro_rules! lent {
    ($($kind:ident: $import:path),*) => {$(
        impl $kind {
            #[doc(hidden)]
            pub unsafe fn from_handle(handle: u32) -> Self {
                Self {
                    // SAFETY: the caller is generated code that has just been given this handle.
                    host: unsafe { <$import>::from_handle(handle) },
                    texts: Texts::default(),
                }
            }
        }
    )*};
}

lent!(
    Request: imports::request::Request,
    ResponseHead: imports::response_head::ResponseHead,
    Connection: imports::connection::Connection
);
