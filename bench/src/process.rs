//! The processes that are measured, and those they are measured with.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;

/// For a process to end by itself, and how often that is looked for.
const END_TIME_MAX: Duration = Duration::from_secs(2);
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// A process that ends when this is dropped.
pub struct Running {
    child: Child,
    /// What it listens on.
    pub port: u16,
}

/// Processors that processes are bound to.
#[derive(Debug, Clone, Copy)]
pub struct Cpus {
    all: CpuSet,
    /// The clients' and the backend's.
    pub load: usize,
    /// The proxy's.
    pub proxy: usize,
}

/// Where a proxy runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the proxy's processor.
    Own,
    /// On all, the clients' among them.
    Anywhere,
}

// === impl Running ===

impl Running {
    /// The backend, in a process of its own: it has as many descriptors as the clients.
    pub fn backend() -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("backend").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { child, port: line.trim().parse()? })
    }

    /// The proxy, once it listens.
    pub fn proxy(binary: &Path, config: impl AsRef<OsStr>) -> Outcome<Self> {
        let mut command = Command::new(binary);
        command.args(["run", "--config"]).arg(config).env("NO_COLOR", "1").stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut log = BufReader::new(child.stderr.take().ok_or("no log")?);
        let mut said = String::new();
        while log.read_line(&mut said)? > 0 {
            let last = said.lines().last().unwrap_or_default();
            if let Some((_, address)) = last.split_once("listening address=") {
                let address = address.split_whitespace().next().unwrap_or_default();
                let port = address.rsplit(':').next().unwrap_or_default().parse()?;
                // It would wait for somebody to read on.
                thread::spawn(move || io::copy(&mut log, &mut io::sink()));
                return Ok(Self { child, port });
            }
        }
        Err(format!("the proxy did not start: {said}").into())
    }

    /// Any proxy, which was told to listen on `port`; what it says goes to `log`.
    pub fn told(mut command: Command, port: u16, log: &Path) -> Outcome<Self> {
        let log = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().to_owned();
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self { child, port })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has used of a processor, in all its threads and its children's.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        self.processes().into_iter().map(cpu_time).sum()
    }

    /// Its share of the memory it has mapped, in KiB. Not its resident set: plugins are images that all their instances
    /// map, and would be counted once for each.
    pub fn memory_kib(&self) -> Outcome<u64> {
        self.processes().into_iter().map(memory_kib).sum()
    }

    /// Its own identifier, and its children's.
    pub fn processes(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        [id].into_iter().chain(children.split_whitespace().filter_map(|child| child.parse().ok())).collect()
    }
}

impl Drop for Running {
    /// It is asked first: a build that records profiles writes them at its end.
    fn drop(&mut self) {
        let processes = self.processes();
        signal(self.child.id(), Signal::TERM);
        let end = Instant::now() + END_TIME_MAX;
        while !self.has_ended() && Instant::now() < end {
            thread::sleep(LOOK_PERIOD);
        }
        for id in processes.into_iter().skip(1) {
            signal(id, Signal::KILL);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whoever has ended already does not mind.
fn signal(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.map(|id| kill_process(id, signal));
}

fn memory_kib(id: u32) -> Outcome<u64> {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// By the clock that the kernel has for each process, in nanoseconds; `/proc/ID/stat` has hundredths of a second.
fn cpu_time(id: u32) -> Outcome<Duration> {
    let id = libc::pid_t::try_from(id)?;
    let mut clock = 0;
    // SAFETY: `clock` is written to, and nothing else.
    let result = unsafe { libc::clock_getcpuclockid(id, &mut clock) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result).into());
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is written to, and nothing else.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}

// === impl Cpus ===

impl Cpus {
    /// Two of those that this process may use, and this process bound to the first, with all it starts from now on.
    pub fn divide() -> Outcome<Self> {
        let all = sched_getaffinity(None)?;
        let mut found = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu));
        let load = found.next().ok_or("no processor")?;
        let proxy = found.next().ok_or("two processors are needed: one for the proxy, one for the load")?;
        let cpus = Self { all, load, proxy };
        cpus.bind(Some(load))?;
        Ok(cpus)
    }

    /// What `start` starts is where `place` says.
    pub fn for_proxy<T>(&self, place: Place, start: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        self.bind((place == Place::Own).then_some(self.proxy))?;
        let started = start();
        self.bind(Some(self.load))?;
        started
    }

    fn bind(&self, cpu: Option<usize>) -> Outcome<()> {
        let mut set = self.all;
        if let Some(cpu) = cpu {
            set.clear();
            set.set(cpu);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

/// Each session takes one here, and two in the proxy.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("cannot raise the limit on file descriptors: {error}");
    }
}
