//! Where contenders are started: the backend, the certificate, the folders and the processors.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{self, Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use rustls::ClientConfig;
use tempfile::TempDir;

use super::contender::{Build, Contender};
use super::results::Reading;
use super::{instructions, machine};
use crate::Outcome;
use crate::load::Timetable;
use crate::process::{Cpus, Place, Running};
use crate::script::{Listener, Script};
use crate::session::{Session, Target};
use crate::tls::Certificate;
use crate::wire::ORIGIN;

const WARM_UP: Duration = Duration::from_secs(1);
/// For a contender to answer, if its plugins are compiled first.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// At a measurement, until one counts.
const ATTEMPTS: usize = 5;
/// Before the next, for what disturbed the last to be over.
const ATTEMPT_PAUSE: Duration = Duration::from_secs(3);
/// Between two attempts to connect to one that is starting.
const CONNECT_PERIOD: Duration = Duration::from_micros(500);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Of load at a time, after one second that does not count
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Held open where memory is measured; each takes two of a proxy's file descriptors
    #[arg(long, default_value_t = 9_000)]
    pub sessions: usize,
    /// Sluicegate
    #[arg(long, default_value = "target/release/sluicegate")]
    pub binary: PathBuf,
    /// The same with profile-guided optimisation
    #[arg(long, default_value = "target/pgo/sluicegate")]
    pub binary_pgo: PathBuf,
    /// Where `sluicegate plugin build plugins/* tests/plugins/*` leaves its components
    #[arg(long, default_value = "target/plugins")]
    pub plugins: PathBuf,
    /// The share of operations that may begin late before a round does not count; 1 lets all count
    #[arg(long, default_value_t = 0.01)]
    pub late_max: f64,
    /// The share of a processor that the host of a virtual machine may take from it before a round does not count
    #[arg(long, default_value_t = 0.03)]
    pub stolen_max: f64,
    /// Where each round's readings are written to, as lines of JSON, and where Sluicegate keeps compiled plugins
    #[arg(long, default_value = "target/bench")]
    pub output: PathBuf,
}

pub struct Lab {
    cpus: Cpus,
    backend: Running,
    certificate: Certificate,
    client: Arc<ClientConfig>,
    folder: TempDir,
    sluicegate: PathBuf,
    sluicegate_pgo: PathBuf,
    plugins: PathBuf,
    plugin_cache: PathBuf,
    length: Duration,
    late_max: f64,
    stolen_max: f64,
    /// So many times slower than columns say is the load; then it may be late, too.
    pub slower: u32,
    /// Where memory is measured.
    pub sessions: usize,
}

/// A contender that listens on.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    plain: u16,
    tls: u16,
}

/// A contender that answers.
pub struct Proxy {
    running: Running,
    is_under_callgrind: bool,
    pub plain: Target,
    pub tls: Target,
    /// From its start to its first accepted connection.
    pub started_in: Duration,
    _folder: TempDir,
}

// === impl Lab ===

impl Lab {
    pub fn new(arguments: &Arguments) -> Outcome<Self> {
        let cpus = Cpus::divide()?;
        let folder = tempfile::tempdir()?;
        let certificate = Certificate::write(folder.path())?;
        Ok(Self {
            cpus,
            backend: Running::backend()?,
            client: certificate.client()?,
            certificate,
            folder,
            sluicegate: arguments.binary.clone(),
            sluicegate_pgo: arguments.binary_pgo.clone(),
            plugins: arguments.plugins.clone(),
            plugin_cache: path::absolute(arguments.output.join("plugin-cache"))?,
            length: Duration::from_secs_f64(arguments.seconds),
            late_max: arguments.late_max,
            stolen_max: arguments.stolen_max,
            slower: 1,
            sessions: arguments.sessions,
        })
    }

    /// A contender with so many workers, once it answers.
    pub fn start(&self, contender: &Contender, workers: usize, place: Place) -> Outcome<Proxy> {
        let folder = tempfile::tempdir_in(&self.folder)?;
        let ports = Ports::free()?;
        let command = contender.command(self, folder.path(), ports, workers)?;
        let log = folder.path().join("log");
        let begin = Instant::now();
        let mut running = self.cpus.for_proxy(place, || Running::told(command, ports.plain, &log))?;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, ports.plain)).is_err() {
            if running.has_ended() || begin.elapsed() > START_TIME_MAX {
                return Err(format!("did not start: {}", fs::read_to_string(&log)?.trim()).into());
            }
            sleep(CONNECT_PERIOD);
        }
        let started_in = begin.elapsed();
        let plain = Target { port: ports.plain, tls: None };
        let tls = Target { port: ports.tls, tls: Some(self.client.clone()) };
        let targets = [Some(&plain), contender.has_tls().then_some(&tls)];
        for target in targets.into_iter().flatten() {
            while let Err(error) = ask(target) {
                if running.has_ended() || begin.elapsed() > START_TIME_MAX {
                    return Err(format!("{error}: {}", fs::read_to_string(&log)?.trim()).into());
                }
                sleep(Duration::from_millis(10));
            }
        }
        Ok(Proxy {
            running,
            is_under_callgrind: contender.is_under_callgrind,
            plain,
            tls,
            started_in,
            _folder: folder,
        })
    }

    /// Measures until a reading counts, and gives each to `keep`.
    pub fn until_counted(
        &self,
        measure: impl Fn() -> Outcome<Reading>,
        mut keep: impl FnMut(Reading) -> Outcome<()>,
    ) -> Outcome<()> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(ATTEMPT_PAUSE);
            }
            let (begin, stolen) = (Instant::now(), machine::stolen());
            let mut reading = measure().unwrap_or_else(|error| Reading::failed(&*error));
            let share = machine::stolen().saturating_sub(stolen).div_duration_f64(begin.elapsed());
            if share > self.stolen_max {
                reading
                    .flaw
                    .get_or_insert_with(|| format!("{:.1} % of a processor was stolen", share * 100.0));
            }
            let counts = reading.flaw.is_none();
            keep(reading)?;
            if counts {
                break;
            }
        }
        Ok(())
    }

    pub fn timetable(&self, rate: u32) -> Timetable {
        let late_max = if self.slower > 1 { 1.0 } else { self.late_max };
        Timetable { rate: rate / self.slower, warm_up: WARM_UP, length: self.length, late_max }
    }

    /// What programs are told that have no configuration: both ports, the backend's, the certificate and its key.
    pub fn words(&self, ports: Ports) -> Vec<String> {
        let Certificate { certificate, key, .. } = &self.certificate;
        let files = [certificate, key].map(|file| file.display().to_string());
        [ports.plain, ports.tls, self.backend.port]
            .map(|port| port.to_string())
            .into_iter()
            .chain(files)
            .collect()
    }

    /// The template `name` of bench/peers and `more`, with its words filled in; in `folder`.
    pub fn fill(
        &self,
        name: &str,
        more: &str,
        folder: &Path,
        ports: Ports,
        workers: usize,
    ) -> Outcome<PathBuf> {
        let path = |path: &Path| path.display().to_string();
        let words = [
            ("@PORT@", ports.plain.to_string()),
            ("@TLS_PORT@", ports.tls.to_string()),
            ("@BACKEND@", self.backend.port.to_string()),
            ("@WORKERS@", workers.to_string()),
            ("@FOLDER@", path(folder)),
            ("@CERTIFICATE@", path(&self.certificate.certificate)),
            ("@KEY@", path(&self.certificate.key)),
            ("@CERTIFICATE_AND_KEY@", path(&self.certificate.both)),
            ("@ORIGIN@", ORIGIN.to_owned()),
            ("@PLUGIN_CACHE@", path(&self.plugin_cache)),
        ];
        let mut text = fs::read_to_string(self.templates().join(name))? + more;
        for (word, value) in words {
            text = text.replace(word, &value);
        }
        let file = folder.join(name);
        fs::write(&file, text)?;
        Ok(file)
    }

    pub fn templates(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
    }

    /// What set-up scripts have installed.
    pub fn peers(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers")
    }

    pub fn sluicegate(&self, build: Build) -> Outcome<PathBuf> {
        let file = match build {
            Build::Release => &self.sluicegate,
            Build::ReleasePgo => &self.sluicegate_pgo,
        };
        file.canonicalize().map_err(|error| format!("{}: {error}", file.display()).into())
    }

    pub fn plugin(&self, file: &str) -> Outcome<PathBuf> {
        self.plugins.join(file).canonicalize().map_err(|error| format!("{file}: {error}").into())
    }
}

/// A request through the proxy to the backend.
fn ask(target: &Target) -> Outcome<()> {
    let mut session = Session::connect(target)?;
    let script = Script::requests();
    let line = script.lines.first().ok_or("no request")?;
    session.send(&line.sent)?;
    while line.heard(&session.input, &mut Listener::new(false))?.is_none() {
        session.receive(&mut [0; 4096])?;
    }
    Ok(())
}

// === impl Ports ===

impl Ports {
    /// Two that nobody listens on now.
    fn free() -> Outcome<Self> {
        let take = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (plain, tls) = (take()?, take()?);
        Ok(Self { plain: plain.local_addr()?.port(), tls: tls.local_addr()?.port() })
    }
}

// === impl Proxy ===

impl Proxy {
    pub fn target(&self, tls: bool) -> &Target {
        if tls { &self.tls } else { &self.plain }
    }

    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// What it has used of a processor; under callgrind a nanosecond for each instruction.
    pub fn used(&self) -> Outcome<Duration> {
        match self.is_under_callgrind {
            true => instructions::used(&self.running.processes()),
            false => self.running.cpu_time(),
        }
    }

    pub fn memory_kib(&self) -> Outcome<f64> {
        Ok(self.running.memory_kib()? as f64)
    }
}
