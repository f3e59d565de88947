//! The session hooks of one WebSocket: which plugin is asked what, and in which order.
//!
//! Messages of the client go through the list in order, those of the upstream in reverse. What a plugin sends goes
//! out before its verdict takes effect, and passes the plugins that stand between it and the receiver.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;

use super::connection_view::{Asked, ConnectionView, index, other};
use super::instance::{Failure, FailureReason, MessageVerdict};
use super::member::{Member, open_member};
use super::{
    CloseInfo, CloseReason, Closer, Lent, Message, MessageKinds, MessageRef, Plugin, Response, Side,
};

/// Messages the plugins of one session may make in answer to one event: two that answer each other end here.
const SENDS_PER_EVENT_MAX: usize = 4_096;

/// The opened session hooks of one WebSocket.
pub struct Chain {
    pub(super) members: Vec<Member>,
    /// What hooks are lent: the connection, always; the request, while opening.
    pub(super) lent: Lent,
    /// What was sent by hooks while opening, for when the session runs.
    early: Vec<Task>,
}

/// One thing to be done to a leg, in order.
#[derive(Debug)]
pub enum Step {
    /// Pass the original on.
    Forward,
    /// Send this in the original's place.
    Replace(Message),
    /// The original goes nowhere.
    Drop,
    Send {
        to: Side,
        message: Message,
    },
    /// Close both legs; nothing comes after it.
    Close(CloseReason),
}

/// What an event led to.
#[derive(Debug)]
pub enum Outcome {
    /// Pass the message on, and nothing else: the usual case.
    Forward,
    Steps(Vec<Step>),
}

/// Why a chain did not open.
#[derive(Debug)]
pub enum Refused {
    /// A plugin said so; boxed, as it is rare and large.
    Response {
        plugin: Arc<str>,
        response: Box<Response>,
    },
    Failed(Failure),
}

/// A message on its way through the plugins.
struct Task {
    to: Side,
    /// The next plugin to see it; none when it has passed them all.
    next: Option<usize>,
    payload: Payload,
}

enum Payload {
    Original,
    Dropped,
    Replaced(Message),
    Sent(Message),
    /// Not a message: close after what came before.
    Close(CloseReason),
}

impl Refused {
    /// The task that opened the sessions is gone.
    pub fn lost() -> Self {
        Self::Failed(Failure { plugin: "?".into(), hook: "open", reason: FailureReason::InstanceLost })
    }
}

// === impl Chain ===

impl Chain {
    /// Open a session in each plugin that has the session hook. `lent.request` is the exchange's and is given back.
    pub async fn open(
        plugins: &[Arc<Plugin>],
        worker: usize,
        lent: &mut Lent,
        connection: Box<ConnectionView>,
    ) -> Result<Self, Refused> {
        let mut chain = Self { members: Vec::new(), lent: Lent::default(), early: Vec::new() };
        chain.lent.connection = Some(connection);
        chain.lent.request = lent.request.take();
        chain.lent.call_outs = lent.call_outs.clone();
        let opened = chain.open_members(plugins, worker).await;
        lent.request = chain.lent.request.take();
        match opened {
            Ok(()) => Ok(chain),
            Err(refused) => {
                let reason = "another plugin refused the session";
                let closed = CloseInfo { closer: Closer::Plugin, clean: false, code: None, reason };
                chain.on_close(closed).await;
                Err(refused)
            }
        }
    }

    async fn open_members(&mut self, plugins: &[Arc<Plugin>], worker: usize) -> Result<(), Refused> {
        for plugin in plugins.iter().filter(|plugin| plugin.has_session_hook()) {
            match open_member(plugin, worker, &mut self.lent).await {
                Ok(Ok(member)) => {
                    let at = self.members.len();
                    self.members.push(member);
                    let asked = self.take_asked(at);
                    let mut tasks = self.tasks(at, asked);
                    self.early.append(&mut tasks);
                }
                Ok(Err(response)) => {
                    let plugin = plugin.name();
                    return Err(Refused::Response { plugin, response: Box::new(response) });
                }
                Err(failure) if failure.may_pass(plugin.config.on_failure.session) => {
                    failure.passed_over();
                    self.forget_asked();
                }
                Err(failure) => return Err(Refused::Failed(failure)),
            }
        }
        Ok(())
    }

    /// What hooks sent while opening. To be asked once, when both legs are open.
    pub async fn early(&mut self) -> Result<Outcome, Failure> {
        let mut tasks = std::mem::take(&mut self.early);
        // The stack's top is its end.
        tasks.reverse();
        self.run(tasks, None).await
    }

    /// The union of what the plugins want of this sender.
    pub fn wants(&self, sender: Side) -> MessageKinds {
        let kinds = self.members.iter().map(|member| of(&member.kinds, sender));
        kinds.fold(MessageKinds::empty(), |all, kinds| all | kinds)
    }

    /// When the next plugin's timer fires.
    pub fn timer(&self) -> Option<Instant> {
        self.members.iter().filter_map(|member| member.timer).min()
    }

    pub fn connection(&mut self) -> Option<&mut ConnectionView> {
        self.lent.connection.as_deref_mut()
    }

    /// A whole message of `sender`.
    pub async fn on_message(&mut self, sender: Side, message: MessageRef<'_>) -> Result<Outcome, Failure> {
        let to = other(sender);
        let mut next = self.first(to);
        let mut left = false;
        while let Some(at) = next {
            next = self.after(at, to);
            let Some(member) = self.members.get_mut(at) else { break };
            if !wanted(of(&member.kinds, sender), &message) {
                continue;
            }
            let verdict = member.on_message(&mut self.lent, sender, message.clone()).await;
            let Some(verdict) = self.survive(at, verdict)? else {
                left = true;
                continue;
            };
            if matches!(verdict, MessageVerdict::Forward) && self.nothing_asked() {
                continue;
            }
            // From here on it is a matter of more than one message.
            let mut tasks = Vec::new();
            self.follow(&mut tasks, at, Task { to, next, payload: Payload::Original }, verdict);
            return self.run(tasks, Some(message)).await;
        }
        // Who has left wants nothing any more, and that is to be followed.
        Ok(if left { Outcome::Steps(vec![Step::Forward]) } else { Outcome::Forward })
    }

    /// Run the timers that are due.
    pub async fn on_timer(&mut self, now: Instant) -> Result<Outcome, Failure> {
        let mut steps = Vec::new();
        for at in 0..self.members.len() {
            let Some(member) = self.members.get_mut(at) else { break };
            if member.timer.take_if(|timer| *timer <= now).is_some() {
                let called = member.on_timer(&mut self.lent).await;
                self.survive(at, called)?;
                self.run_asked(at, &mut steps).await?;
            }
        }
        Ok(Outcome::Steps(steps))
    }

    /// The session will be closed soon.
    pub async fn on_drain(&mut self) -> Result<Outcome, Failure> {
        let mut steps = Vec::new();
        for at in 0..self.members.len() {
            let Some(member) = self.members.get_mut(at) else { break };
            let called = member.on_drain(&mut self.lent).await;
            self.survive(at, called)?;
            self.run_asked(at, &mut steps).await?;
        }
        Ok(Outcome::Steps(steps))
    }

    /// Whether an instance that this session shares was lost to a trap of another's. The task that asks is woken for it.
    pub fn has_lost(&mut self, cx: &Context<'_>) -> bool {
        self.members.iter_mut().any(|member| member.has_lost(cx))
    }

    /// Go on without what was lost, or fail for it.
    pub fn on_lost(&mut self) -> Result<Outcome, Failure> {
        for at in 0..self.members.len() {
            if let Some(lost) = self.members.get(at).and_then(Member::lost) {
                self.survive::<()>(at, Err(lost))?;
            }
        }
        Ok(Outcome::Steps(Vec::new()))
    }

    /// The session has ended: tell each plugin, and drop its state.
    pub async fn on_close(&mut self, closed: CloseInfo<'_>) {
        if let Some(connection) = &mut self.lent.connection {
            connection.closing = true;
        }
        for member in std::mem::take(&mut self.members) {
            if let Err(failure) = member.on_close(&mut self.lent, closed.clone()).await {
                tracing::warn!(plugin = %failure.plugin, hook = failure.hook, reason = %failure.reason, "plugin failed");
            }
        }
    }

    /// Work off messages on their way, the last of `tasks` first.
    async fn run(
        &mut self,
        mut tasks: Vec<Task>,
        original: Option<MessageRef<'_>>,
    ) -> Result<Outcome, Failure> {
        let mut steps = Vec::new();
        let mut turns = 0;
        while let Some(mut task) = tasks.pop() {
            let Some(at) = task.next else {
                let close = matches!(task.payload, Payload::Close(_));
                steps.push(task.step());
                if close {
                    break;
                }
                continue;
            };
            task.next = self.after(at, task.to);
            let sender = other(task.to);
            let (Some(member), Some(message)) = (self.members.get_mut(at), task.message(original.as_ref()))
            else {
                tasks.push(task);
                continue;
            };
            if !wanted(of(&member.kinds, sender), &message) {
                tasks.push(task);
                continue;
            }
            turns += 1;
            if turns > SENDS_PER_EVENT_MAX {
                return Err(
                    member.failure("on-message", "plugins of this session answer each other without end")
                );
            }
            let verdict = member.on_message(&mut self.lent, sender, message).await;
            match self.survive(at, verdict)? {
                Some(verdict) => self.follow(&mut tasks, at, task, verdict),
                None => tasks.push(task),
            }
        }
        Ok(Outcome::Steps(steps))
    }

    /// Put what a hook asked for, and what its verdict makes of the message, on the stack.
    fn follow(&mut self, tasks: &mut Vec<Task>, at: usize, task: Task, verdict: MessageVerdict) {
        let mut asked = self.take_asked(at);
        if let Some(reason) = asked.close.take() {
            tasks.push(Task { to: task.to, next: None, payload: Payload::Close(reason) });
        }
        let sent = matches!(task.payload, Payload::Sent(_));
        match verdict {
            MessageVerdict::Forward => tasks.push(task),
            MessageVerdict::Replace(new) if sent => tasks.push(Task { payload: Payload::Sent(new), ..task }),
            MessageVerdict::Replace(new) => tasks.push(Task { payload: Payload::Replaced(new), ..task }),
            MessageVerdict::Drop if sent => {}
            MessageVerdict::Drop => tasks.push(Task { next: None, payload: Payload::Dropped, ..task }),
            MessageVerdict::Close(reason) => {
                tasks.push(Task { next: None, payload: Payload::Close(reason), ..task })
            }
        }
        let mut sends = self.tasks(at, asked);
        sends.reverse();
        tasks.append(&mut sends);
    }

    /// Follow what a hook without a verdict asked for.
    pub(super) async fn run_asked(&mut self, at: usize, steps: &mut Vec<Step>) -> Result<(), Failure> {
        if self.nothing_asked() {
            return Ok(());
        }
        let asked = self.take_asked(at);
        let mut tasks = self.tasks(at, asked);
        tasks.reverse();
        if let Outcome::Steps(mut more) = self.run(tasks, None).await? {
            steps.append(&mut more);
        }
        Ok(())
    }

    /// Messages (and a close) a hook of member `at` asked for, first to last.
    fn tasks(&self, at: usize, asked: Asked) -> Vec<Task> {
        let send = |(to, message)| Task { to, next: self.after(at, to), payload: Payload::Sent(message) };
        let mut tasks: Vec<Task> = asked.sends.into_iter().map(send).collect();
        if let Some(reason) = asked.close {
            tasks.push(Task { to: Side::Client, next: None, payload: Payload::Close(reason) });
        }
        tasks
    }

    /// What the last call asked for, timers and inspection already followed.
    fn take_asked(&mut self, at: usize) -> Asked {
        let Some(connection) = &mut self.lent.connection else { return Asked::default() };
        let mut asked = std::mem::take(&mut connection.asked);
        if let Some(member) = self.members.get_mut(at) {
            if let Some(timer) = asked.timer_ms.take() {
                member.timer = timer.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
            }
            for (kinds, asked) in member.kinds.iter_mut().zip(&mut asked.inspect) {
                *kinds = asked.take().unwrap_or(*kinds);
            }
        }
        asked
    }

    /// A call that failed has asked for nothing.
    pub(super) fn forget_asked(&mut self) {
        if let Some(connection) = &mut self.lent.connection {
            connection.asked = Asked::default();
        }
    }

    fn nothing_asked(&self) -> bool {
        self.lent.connection.as_ref().is_none_or(|connection| connection.asked.is_empty())
    }

    /// The answer of a call, or none where the plugin failed and the session goes on without it.
    pub(super) fn survive<T>(&mut self, at: usize, called: Result<T, Failure>) -> Result<Option<T>, Failure> {
        let failure = match called {
            Ok(answer) => return Ok(Some(answer)),
            Err(failure) => failure,
        };
        self.forget_asked();
        let Some(member) = self.members.get_mut(at) else { return Err(failure) };
        member.leave();
        if !failure.may_pass(member.on_failure()) {
            return Err(failure);
        }
        failure.passed_over();
        Ok(None)
    }

    fn first(&self, to: Side) -> Option<usize> {
        match to {
            Side::Upstream => (!self.members.is_empty()).then_some(0),
            Side::Client => self.members.len().checked_sub(1),
        }
    }

    fn after(&self, at: usize, to: Side) -> Option<usize> {
        match to {
            Side::Upstream => (at + 1 < self.members.len()).then_some(at + 1),
            Side::Client => at.checked_sub(1),
        }
    }
}

// === impl Task ===

impl Task {
    fn message<'a>(&'a self, original: Option<&MessageRef<'a>>) -> Option<MessageRef<'a>> {
        match &self.payload {
            Payload::Original => original.cloned(),
            Payload::Replaced(message) | Payload::Sent(message) => Some(message.as_ref()),
            Payload::Dropped | Payload::Close(_) => None,
        }
    }

    fn step(self) -> Step {
        match self.payload {
            Payload::Original => Step::Forward,
            Payload::Dropped => Step::Drop,
            Payload::Replaced(message) => Step::Replace(message),
            Payload::Sent(message) => Step::Send { to: self.to, message },
            Payload::Close(reason) => Step::Close(reason),
        }
    }
}

fn of(kinds: &[MessageKinds; 2], sender: Side) -> MessageKinds {
    kinds.get(index(sender)).copied().unwrap_or(MessageKinds::empty())
}

fn wanted(kinds: MessageKinds, message: &MessageRef<'_>) -> bool {
    match message {
        MessageRef::Text(_) => kinds.contains(MessageKinds::TEXT),
        MessageRef::Binary(_) => kinds.contains(MessageKinds::BINARY),
    }
}
