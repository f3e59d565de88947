//! What a plugin costs: a request hook; a message hook at three sizes, three times over, on a fiber, and without epochs;
//! an instance, and opening a session.
//!
//! `make bench-plugins` builds the plugins first and runs this.

#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sluicegate::config;
use sluicegate::limits::Limits;
use sluicegate::plugin::chain::Chain;
use sluicegate::plugin::connection_view::{Asked, ConnectionView};
use sluicegate::plugin::engine::{self, PoolSize};
use sluicegate::plugin::instance::Instance;
use sluicegate::plugin::load::Loader;
use sluicegate::plugin::ticker::Ticker;
use sluicegate::plugin::{CloseInfo, Closer, Lent, MessageRef, Plugin, Side, requests};
use sluicegate::request::RequestHead;
use tokio::runtime::LocalRuntime;
use wasmtime::Engine;

const POOL: PoolSize = PoolSize { instances_max: 2_000, memory_bytes_max: 16 << 20 };

struct Bench {
    runtime: LocalRuntime,
    loader: Loader,
}

/// A `call-time-max` with which calls are on fibers from the first.
const FIBER_TIME_MAX: Duration = Duration::from_secs(1);

impl Bench {
    fn new() -> Self {
        Self::with(engine::new(POOL).expect("engine"))
    }

    /// Guests are never looked at.
    fn without_epochs() -> Self {
        Self::with(Engine::new(engine::config(POOL).epoch_interruption(false)).expect("engine"))
    }

    fn with(engine: Engine) -> Self {
        Ticker::start().expect("ticker").advance(&engine);
        let loader = Loader::new(engine, POOL, Arc::new(Limits::default()), 1, None).expect("loader");
        Self { runtime: LocalRuntime::new().expect("runtime"), loader }
    }

    fn plugin(&self, file: &str, settings: Option<&str>) -> Arc<Plugin> {
        self.plugin_with(file, settings, |_| {})
    }

    fn plugin_with(
        &self,
        file: &str,
        settings: Option<&str>,
        change: impl FnOnce(&mut config::Plugin),
    ) -> Arc<Plugin> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins").join(file);
        let mut config = config::Plugin::new("bench".to_owned(), PathBuf::from(&file));
        config.settings = settings.map(str::to_owned);
        change(&mut config);
        let loaded = self.runtime.block_on(self.loader.load(&config, &[]));
        loaded.unwrap_or_else(|error| panic!("{error}; `make plugins` first"))
    }
}

fn request() -> Lent {
    let mut request = RequestHead::default();
    request.headers.insert("origin", "https://chat.example.com".parse().expect("value"));
    request.headers.insert("x-token", "s3cret".parse().expect("value"));
    request.editable = true;
    Lent { request: Some(Box::new(request)), ..Lent::default() }
}

fn connection() -> Box<ConnectionView> {
    Box::new(ConnectionView {
        id: 0,
        client_address: [192, 0, 2, 1].into(),
        subprotocol: None,
        upstream: "chat".into(),
        server: "192.0.2.2:80".into(),
        attributes: Vec::new(),
        message_bytes_max: 1 << 20,
        closing: false,
        room: [1 << 18; 2],
        can_inspect: [true; 2],
        asked: Asked::default(),
    })
}

fn on_request(criterion: &mut Criterion) {
    let bench = Bench::new();
    let reads_one = [bench.plugin("test-token.wasm", None)];
    time_requests(criterion, &bench, "on-request, reading one header", &reads_one);
    let origin = [bench.plugin("origin-check.wasm", Some(r#"{"allow":["https://chat.example.com"]}"#))];
    time_requests(criterion, &bench, "on-request, origin-check", &origin);
}

fn time_requests(criterion: &mut Criterion, bench: &Bench, name: &str, plugins: &[Arc<Plugin>]) {
    let mut lent = request();
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            bench.runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..times {
                    black_box(requests::on_request(plugins, 0, &mut lent).await).expect("no failure");
                }
                begin.elapsed()
            })
        });
    });
}

fn on_message(criterion: &mut Criterion) {
    let bench = Bench::new();
    let forward = [bench.plugin("test-forward.wasm", None)];
    for (name, bytes) in [("128 B", 128), ("4 KiB", 4 << 10), ("64 KiB", 64 << 10)] {
        time_messages(criterion, &bench, &format!("on-message, forward, text of {name}"), &forward, bytes);
    }
    let three: [_; 3] = std::array::from_fn(|_| bench.plugin("test-forward.wasm", None));
    time_messages(criterion, &bench, "on-message, forward by three, text of 128 B", &three, 128);
    let fiber = |config: &mut config::Plugin| config.call_time_max = FIBER_TIME_MAX;
    let on_fiber = [bench.plugin_with("test-forward.wasm", None, fiber)];
    time_messages(criterion, &bench, "on-message, forward on a fiber, text of 128 B", &on_fiber, 128);
}

/// A guest that computes, looked at and not.
fn epochs(criterion: &mut Criterion) {
    for (name, bench) in [("with epochs", Bench::new()), ("without epochs", Bench::without_epochs())] {
        let filter = [bench.plugin("message-filter.wasm", Some(&filter_settings()))];
        let name = format!("on-message, message-filter with ten patterns, text of 4 KiB, {name}");
        time_messages(criterion, &bench, &name, &filter, 4 << 10);
    }
}

fn time_messages(
    criterion: &mut Criterion,
    bench: &Bench,
    name: &str,
    plugins: &[Arc<Plugin>],
    bytes: usize,
) {
    let mut lent = request();
    let opened = bench.runtime.block_on(Chain::open(plugins, 0, &mut lent, connection()));
    let mut chain = opened.expect("opens");
    let text = "x".repeat(bytes);
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            bench.runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..times {
                    let message = MessageRef::Text(black_box(&text));
                    black_box(chain.on_message(Side::Client, message).await).expect("no failure");
                }
                begin.elapsed()
            })
        });
    });
}

fn instance(criterion: &mut Criterion) {
    let bench = Bench::new();
    let plugin = bench.plugin("test-forward.wasm", None);
    criterion.bench_function("make an instance, and drop it", |bencher| {
        bencher.iter_custom(|times| {
            bench.runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..times {
                    drop(black_box(Instance::new(&plugin, 0).await).expect("an instance"));
                }
                begin.elapsed()
            })
        });
    });
}

fn filter_settings() -> String {
    let deny: Vec<String> = (0..10).map(|word| format!(r#""(?i)\\bword{word}[a-z]*\\b""#)).collect();
    format!(r#"{{"deny":[{}],"action":"drop"}}"#, deny.join(","))
}

fn open(criterion: &mut Criterion) {
    let bench = Bench::new();
    let plugins = [bench.plugin("message-filter.wasm", Some(&filter_settings()))];
    let closed = CloseInfo { closer: Closer::Client, clean: true, code: Some(1000), reason: "" };
    criterion.bench_function("open and close a session, message-filter with ten patterns", |bencher| {
        bencher.iter_custom(|times| {
            bench.runtime.block_on(async {
                let mut lent = request();
                let mut elapsed = Duration::ZERO;
                for _ in 0..times {
                    let begin = Instant::now();
                    let mut chain = Chain::open(&plugins, 0, &mut lent, connection()).await.expect("opens");
                    chain.on_close(closed.clone()).await;
                    drop(chain);
                    elapsed += begin.elapsed();
                }
                elapsed
            })
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = on_request, on_message, epochs, instance, open
}
criterion_main!(benches);
