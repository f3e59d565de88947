//! WASI: always there, as toolchains of other languages import it unasked, and nothing in it.

use sluicegate_tests::{Proxy, Upstream, Wire, run};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn there_are_no_files_no_sockets_and_no_environment() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy =
            Proxy::to(upstream.address()).guest("wasi", "").variable("SECRET", "s3cret").start().await;
        let response = Wire::connect(proxy.address()).await.ask(get("/reach")).await;
        assert_eq!(
            response.text(),
            "environment 0, arguments 0, folder None, directories 0, name permanent-resolver-failure, \
             tcp access-denied, udp access-denied"
        );
    });
}

/// Waiting for a clock takes none of its own time.
#[test]
fn a_plugin_that_sleeps_is_ended_and_delays_nobody_else() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = Proxy::to(upstream.address()).server("workers = 1").guest("wasi", "").start().await;
        let mut asleep = Wire::send_to(proxy.address(), get("/sleep")).await;
        for _ in 0..50 {
            assert_eq!(Wire::connect(proxy.address()).await.ask(get("/")).await.text(), "home");
        }
        assert!(!asleep.has_more(), "it still sleeps");
        assert_eq!(asleep.response().await.status(), 500);
        proxy.log().line(&["WARN", "wasi", "on-request", "call-time-max"]).await;
    });
}
