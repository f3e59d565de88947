//! Any `Sec-WebSocket-Extensions` values: what is agreed was offered, both legs agree on it, and what the
//! proxy writes itself reads back as the same. The input is the client's lines, an empty line, the upstream's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate_websocket::negotiation::{Extensions, Offers, check_answer};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|&byte| byte == b'\n');
    let offers: Vec<&[u8]> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let answer: Vec<&[u8]> = lines.collect();
    let passed_through = check_answer(offers.iter().copied(), answer.iter().copied());

    let Ok(offers) = Offers::parse(offers) else { return };
    let to_upstream = offers.to_upstream();
    let again = Offers::parse(to_upstream.iter().map(String::as_bytes)).expect("the proxy writes it right");
    assert_eq!(again.to_upstream(), to_upstream);

    let Ok(agreement) = offers.agree(answer.iter().copied()) else { return };
    assert_eq!(agreement.client, agreement.upstream);
    assert_eq!(agreement.client.is_some(), agreement.answer.is_some());
    // The client, which offered the same or more, can take the answer; and so does the upstream's own.
    let line = agreement.answer.iter().map(String::as_bytes);
    assert_eq!(again.agree(line.clone()).as_ref(), Ok(&agreement));
    let extensions = agreement.client.map_or(Extensions::None, Extensions::Deflate);
    assert_eq!(check_answer(to_upstream.iter().map(String::as_bytes), line), Ok(extensions));
    assert_eq!(passed_through, Ok(extensions));
    if let Some(deflate) = agreement.client {
        assert!((8..=15).contains(&deflate.server_max_window_bits));
        assert!((8..=15).contains(&deflate.client_max_window_bits));
    }
});
