use super::*;

fn listener() -> Listener {
    let mut listener = Listener::new(([127, 0, 0, 1], 0).into());
    listener.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:ffff::/48".parse().unwrap()];
    listener
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// By a listener, of a request by http with `Host: a.example`.
fn provenance(listener: &Listener, sender: &str, lines: &[(&'static str, &str)]) -> Provenance {
    let host = HeaderValue::from_static("a.example");
    Provenance::of(&headers(lines), SocketAddr::new(sender.parse().unwrap(), 4711), "http", &host, listener)
}

/// What the upstream is told.
fn sent_on(provenance: &Provenance, listener: &Listener) -> Vec<String> {
    let mut headers = headers(&[("x-real-ip", "6.6.6.6"), ("forwarded", "for=6.6.6.6")]);
    provenance.write(&mut headers, listener);
    let names = ["x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
    let values = names.into_iter().filter_map(|name| headers.get(name));
    values.map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn assert_client(lines: &[(&'static str, &str)], client: &str, path: &str) {
    let provenance = provenance(&listener(), "10.0.0.1", lines);
    assert_eq!(provenance.client.ip().to_string(), client, "{lines:?}");
    assert_eq!(sent_on(&provenance, &listener())[1], path, "{lines:?}");
}

#[test]
fn the_word_of_others_than_trusted_proxies_changes_nothing() {
    let lines = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "bank.example"),
        ("forwarded", "for=203.0.113.9;proto=https;host=bank.example"),
    ];
    for sender in ["192.0.2.7", "::ffff:192.0.2.7", "11.0.0.1"] {
        let provenance = provenance(&listener(), sender, &lines);
        let address = sender.trim_start_matches("::ffff:");
        assert_eq!(sent_on(&provenance, &listener()), [address, address, "http", "a.example"]);
        assert_eq!(provenance.client.port(), 4711);
    }
}

#[test]
fn the_first_that_is_not_trusted_is_the_client() {
    let believed = "203.0.113.9, 10.0.0.1";
    assert_client(&[("x-forwarded-for", "203.0.113.9")], "203.0.113.9", believed);
    assert_client(&[("x-forwarded-for", "6.6.6.6, 203.0.113.9")], "203.0.113.9", believed);
    assert_client(&[("x-forwarded-for", "10.6.6.6,203.0.113.9:4711 ,")], "203.0.113.9", believed);
    assert_client(&[("forwarded", "for=6.6.6.6, for=\"203.0.113.9:4711\"")], "203.0.113.9", believed);
    let through_two = "203.0.113.9, 10.0.0.2, 10.0.0.1";
    assert_client(&[("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2")], "203.0.113.9", through_two);
    assert_client(
        &[("forwarded", "for=6.6.6.6, for=203.0.113.9"), ("forwarded", "for=10.0.0.2;by=_x")],
        "203.0.113.9",
        through_two,
    );
    // All of them are trusted: the furthest.
    assert_client(&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3", "10.0.0.3, 10.0.0.2, 10.0.0.1");
    let ipv6 = "2001:db8::7, 2001:db8:ffff::1, 10.0.0.1";
    assert_client(&[("x-forwarded-for", "6.6.6.6, 2001:db8::7, 2001:db8:ffff::1")], "2001:db8::7", ipv6);
    assert_client(
        &[("forwarded", "for=\"[2001:db8::7]\", for=\"[2001:db8:ffff::1]:80\"")],
        "2001:db8::7",
        ipv6,
    );
}

#[test]
fn doubt_ends_the_walk_at_the_last_address_reached() {
    let none = "10.0.0.1";
    for lines in [
        [("x-forwarded-for", "")],
        [("x-forwarded-for", "203.0.113.9, unknown")],
        [("x-forwarded-for", "203.0.113.9, 203.0.113.9.9")],
        [("x-forwarded-for", "203.0.113.9; 10.0.0.2")],
        [("forwarded", "for=203.0.113.9, for=unknown")],
        [("forwarded", "for=203.0.113.9, for=_hidden")],
        [("forwarded", "for=203.0.113.9, proto=https")],
        [("forwarded", "for=203.0.113.9, for=10.0.0.2:80")],
        [("forwarded", "for=\"evil, for=203.0.113.9")],
    ] {
        assert_client(&lines, none, none);
    }
    assert_client(&[("x-forwarded-for", "203.0.113.9, -, 10.0.0.2")], "10.0.0.2", "10.0.0.2, 10.0.0.1");
    assert_client(
        &[("forwarded", "for=203.0.113.9;"), ("forwarded", "for=\""), ("forwarded", "for=10.0.0.2")],
        "10.0.0.2",
        "10.0.0.2, 10.0.0.1",
    );
}

#[test]
fn a_walk_has_an_end() {
    let many = format!("203.0.113.9{}", ", 10.0.0.2".repeat(HOPS_MAX));
    let provenance = provenance(&listener(), "10.0.0.1", &[("x-forwarded-for", &many)]);
    assert_eq!(provenance.client.ip().to_string(), "10.0.0.2");
    assert_eq!(provenance.through.len(), HOPS_MAX);
}

#[test]
fn two_that_tell_of_different_clients_are_not_believed() {
    let told = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=198.51.100.9")];
    assert_client(&told, "10.0.0.1", "10.0.0.1");
    assert_client(&[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=_x")], "10.0.0.1", "10.0.0.1");
    let same = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=\"203.0.113.9:80\"")];
    assert_client(&same, "203.0.113.9", "203.0.113.9, 10.0.0.1");
    for (header, client) in
        [(RealIpHeader::XForwardedFor, "203.0.113.9"), (RealIpHeader::Forwarded, "198.51.100.9")]
    {
        let listener = Listener { real_ip_header: header, ..listener() };
        assert_eq!(provenance(&listener, "10.0.0.1", &told).client.ip().to_string(), client);
        // What is not looked at is as if it were not there.
        let other = if header == RealIpHeader::Forwarded { &told[..1] } else { &told[1..] };
        assert_eq!(provenance(&listener, "10.0.0.1", other).client.ip().to_string(), "10.0.0.1");
    }
}

#[test]
fn scheme_and_host_are_those_of_the_first_trusted_proxy() {
    let scheme_and_host = |lines: &[(&'static str, &str)]| {
        let provenance = provenance(&listener(), "10.0.0.1", lines);
        format!("{} {}", provenance.scheme, provenance.host.to_str().unwrap())
    };
    for (lines, expected) in [
        (
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "b.example:8443")][..],
            "https b.example:8443",
        ),
        (&[("x-forwarded-proto", "http, HTTPS"), ("x-forwarded-host", "c, b")], "https b"),
        (&[("x-forwarded-proto", "ftp"), ("x-forwarded-host", "b\u{e4}")], "http a.example"),
        (&[("x-forwarded-proto", "https,wss"), ("x-forwarded-host", "user@b")], "http a.example"),
        (&[("forwarded", "for=203.0.113.9;proto=https;host=\"b:1\", for=10.0.0.2;proto=http")], "https b:1"),
        (&[("forwarded", "for=6.6.6.6;proto=https;host=c, for=203.0.113.9;proto=http")], "http a.example"),
        // Who it was is hidden, how it came is not.
        (&[("forwarded", "for=_x;proto=https;host=b")], "https b"),
        (&[("forwarded", "for=203.0.113.9;proto=\"ht\\tps\";host=b,c=\"")], "http a.example"),
        (&[("forwarded", "proto=https"), ("x-forwarded-proto", "http")], "http a.example"),
    ] {
        assert_eq!(scheme_and_host(lines), expected, "{lines:?}");
    }
}

#[test]
fn rfc7239_4_forwarded_is_written_where_it_is_asked_for() {
    let listener = Listener { forwarded_header: true, ..listener() };
    let direct = provenance(&listener, "2001:db8::7", &[]);
    assert_eq!(sent_on(&direct, &listener)[4], "for=\"[2001:db8::7]\";host=\"a.example\";proto=http");
    let lines = [("x-forwarded-for", "203.0.113.9, 10.0.0.2"), ("x-forwarded-proto", "https")];
    let through = provenance(&listener, "10.0.0.1", &lines);
    assert_eq!(
        sent_on(&through, &listener)[4],
        "for=203.0.113.9;host=\"a.example\";proto=https, for=10.0.0.2, for=10.0.0.1"
    );
}

#[test]
fn addresses_are_written_as_the_standard_library_does() {
    for octet in 0..=u8::MAX {
        let address = IpAddr::from([octet, 255 - octet, octet / 2, 0]);
        assert_eq!(text(address), address.to_string().as_bytes());
    }
    assert_eq!(text("::ffff:192.0.2.7".parse().unwrap()), b"192.0.2.7");
    assert_eq!(text("2001:db8::7".parse().unwrap()), b"2001:db8::7");
}
