//! What request and response hooks do to an exchange.

use sluicegate_tests::{Proxy, RawUpstream, Response, Session, Upstream, WebSocket, Wire, run};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-App: yes\r\nX-App: really\r\n\r\nok";

/// Two upstreams behind a route with the plugin that edits as it is told.
struct Edited {
    app: Upstream,
    other: Upstream,
    proxy: Proxy,
}

impl Edited {
    async fn start() -> Self {
        let (app, other) = (Upstream::answering(OK).await, Upstream::named("other").await);
        let proxy =
            Proxy::to(app.address()).upstream("other", other.address()).guest("edit", "").start().await;
        Self { app, other, proxy }
    }

    /// A request with these lines.
    async fn ask(&self, lines: &[&str]) -> Response {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!("GET /from?a=1 HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
        Wire::connect(self.proxy.address()).await.ask(request).await
    }
}

#[test]
fn headers_and_path_are_edited() {
    run(async {
        let edited = Edited::start().await;
        edited
            .ask(&[
                "X-Keep: 1",
                "X-Twice: 1",
                "X-Twice: 2",
                "X-Gone: 1",
                "X-Edit: set-header x-twice three",
                "X-Edit: set-header X-New new",
                "X-Edit: append-header x-keep 2",
                "X-Edit: remove-header x-gone",
                "X-Edit: remove-header x-never-there",
                "X-Edit: set-path /to?b=2",
            ])
            .await;
        let head = edited.app.request().head;
        assert_eq!(head.target(), "/to?b=2");
        assert_eq!(head.all("x-keep"), ["1", "2"]);
        assert_eq!(head.all("x-twice"), ["three"]);
        assert_eq!(head.field("x-new"), Some("new"));
        assert!(!head.has("x-gone") && !head.has("x-refused"), "{head}");
    });
}

#[test]
fn what_the_host_keeps_for_itself_is_not_edited() {
    run(async {
        let edited = Edited::start().await;
        edited
            .ask(&[
                "X-Edit: set-header host evil.example",
                "X-Edit: set-header content-length 5",
                "X-Edit: append-header transfer-encoding chunked",
                "X-Edit: set-header connection close",
                "X-Edit: set-header upgrade h2c",
                "X-Edit: set-header sec-websocket-key abc",
                "X-Edit: remove-header host",
                "X-Edit: set-header x(bad) 1",
                "X-Edit: set-path no-slash",
                "X-Edit: set-path /a#b",
                "X-Edit: route-to nowhere",
            ])
            .await;
        let head = edited.app.request().head;
        assert_eq!(head.field("host"), Some("a.example"));
        assert_eq!(head.target(), "/from?a=1");
        for name in ["content-length", "transfer-encoding", "connection", "upgrade", "sec-websocket-key"] {
            assert!(!head.has(name), "{name} in {head}");
        }
        let refused = head.all("x-refused");
        assert_eq!(
            refused,
            [
                "set-header: Forbidden",
                "set-header: Forbidden",
                "append-header: Forbidden",
                "set-header: Forbidden",
                "set-header: Forbidden",
                "set-header: Forbidden",
                "remove-header: Forbidden",
                "set-header: Invalid",
                "set-path: Invalid",
                "set-path: Invalid",
                "route-to: UnknownUpstream",
            ]
        );
    });
}

#[test]
fn a_request_is_routed_to_another_upstream() {
    run(async {
        let edited = Edited::start().await;
        assert_eq!(edited.ask(&[]).await.text(), "ok");
        assert_eq!(edited.ask(&["X-Edit: route-to other"]).await.text(), "other");
        assert_eq!((edited.app.requests().len(), edited.other.requests().len()), (1, 1));
    });
}

#[test]
fn a_session_is_routed_and_edited_like_a_request() {
    run(async {
        let (app, other) = (RawUpstream::start().await, RawUpstream::start().await);
        let proxy =
            Proxy::to(app.address()).upstream("other", other.address()).guest("edit", "").start().await;
        let asked = "X-Edit: route-to other\r\nX-Edit: set-path /to\r\nX-Edit: set-header x-user ada\r\n\
                     X-Edit-Response: set-header x-node 7\r\n";
        let session = Session::open_with(&proxy, &other, "/from", asked, "").await;
        assert_eq!(session.upstream.head.target(), "/to");
        assert_eq!(session.upstream.head.field("x-user"), Some("ada"));
        assert_eq!(session.client.head.field("x-node"), Some("7"));
    });
}

#[test]
fn a_plugins_answer_is_given_and_the_upstream_never_hears_of_the_request() {
    run(async {
        let edited = Edited::start().await;
        let response = edited.ask(&["X-Edit: respond 418 short and stout"]).await;
        assert_eq!((response.status(), response.text()), (418, "short and stout"));
        assert_eq!(response.head.field("x-by"), Some("edit"));
        assert_eq!(response.head.field("content-length"), Some("15"));
        assert!(response.head.has("date"));
        let refused =
            WebSocket::refused(edited.proxy.address(), "/", "X-Edit: respond 403 not you\r\n").await;
        assert_eq!((refused.status(), refused.text()), (403, "not you"));
        assert_eq!(edited.app.connections(), 0);
    });
}

#[test]
fn a_request_enters_by_its_token() {
    run(async {
        let app = Upstream::answering(OK).await;
        let proxy = Proxy::to(app.address()).guest("token", "").start().await;
        let mut client = Wire::connect(proxy.address()).await;
        for (lines, status) in [
            ("", 401),
            ("X-Token: wrong\r\n", 401),
            ("X-Token: s3cret\r\n", 200),
            ("X-Token: s3cret\r\nX-Token: s3cret\r\n", 401),
        ] {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            assert_eq!(client.ask(request).await.status(), status, "{lines}");
        }
        assert_eq!(app.requests().len(), 1);
    });
}

#[test]
fn the_first_answer_ends_the_list() {
    run(async {
        let app = Upstream::answering(OK).await;
        let proxy = Proxy::to(app.address()).guest("edit", "").guest("recorder", "").start().await;
        let mut client = Wire::connect(proxy.address()).await;
        client.ask("GET /passes HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.ask("GET /ends HTTP/1.1\r\nHost: a\r\nX-Edit: respond 403 no\r\n\r\n").await;
        client.ask("GET /last HTTP/1.1\r\nHost: a\r\n\r\n").await;
        proxy.log().line(&["plugin=\"recorder\"", "on-request GET /last websocket=false"]).await;
        proxy.log().line(&["on-response /last 200"]).await;
        assert_eq!(proxy.log().count(&["recorder", "/passes"]), 2);
        proxy.log().assert_none(&["recorder", "/ends"]);
    });
}

#[test]
fn answers_are_edited_on_their_way_back() {
    run(async {
        let edited = Edited::start().await;
        let response = edited
            .ask(&[
                "X-Edit-Response: set-status 203",
                "X-Edit-Response: set-header x-app one",
                "X-Edit-Response: append-header x-more 1",
                "X-Edit-Response: append-header x-more 2",
                "X-Edit-Response: remove-header content-type",
            ])
            .await;
        assert_eq!((response.status(), response.text()), (203, "ok"));
        assert_eq!(response.head.all("x-app"), ["one"]);
        assert_eq!(response.head.all("x-more"), ["1", "2"]);
    });
}

#[test]
fn the_framing_of_an_answer_is_not_edited() {
    run(async {
        let edited = Edited::start().await;
        let response = edited
            .ask(&[
                "X-Edit-Response: set-header content-length 1",
                "X-Edit-Response: set-header transfer-encoding chunked",
                "X-Edit-Response: set-header connection close",
                "X-Edit-Response: set-status 204",
                "X-Edit-Response: set-status 101",
                "X-Edit-Response: set-status 99",
                "X-Edit-Response: late-edit",
            ])
            .await;
        assert_eq!((response.status(), response.text()), (200, "ok"));
        assert_eq!(
            response.head.all("x-refused"),
            [
                "set-header: Forbidden",
                "set-header: Forbidden",
                "set-header: Forbidden",
                "set-status: Forbidden",
                "set-status: Invalid",
                "set-status: Invalid",
                "late-edit: TooLate",
            ]
        );
    });
}

#[test]
fn the_status_of_a_101_stays() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).guest("edit", "").start().await;
        let asked =
            "X-Edit-Response: set-status 200\r\nX-Edit-Response: set-header sec-websocket-accept abc\r\n";
        let session = Session::open_with(&proxy, &upstream, "/", asked, "").await;
        assert_eq!(session.client.head.all("x-refused"), ["set-status: Forbidden", "set-header: Forbidden"]);
    });
}

#[test]
fn attributes_reach_the_response_hook_and_the_session() {
    run(async {
        let app = Upstream::answering(OK).await;
        let proxy = Proxy::to(app.address()).guest("edit", "").start().await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Edit: set-attribute tenant blue\r\n\
                       X-Edit-Response: show-attribute tenant\r\n\r\n";
        let response = Wire::connect(proxy.address()).await.ask(request).await;
        assert_eq!(response.head.field("x-attribute"), Some("blue"));

        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).guest("edit", "").guest("scripted", "").start().await;
        let asked = "X-Edit: set-attribute tenant blue\r\n";
        let mut session = Session::open_with(&proxy, &upstream, "/", asked, "").await;
        session.client.say("attribute tenant\nattribute other").await;
        assert_eq!(session.client.hear().await, "blue");
        assert_eq!(session.client.hear().await, "none");
    });
}
