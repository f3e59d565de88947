//! What the codec costs per message: relayed unread, inspected, inspected and compressed.
//!
//! `cargo bench -p sluicegate-websocket`. Each input is 64 KiB or more of equal frames, so that the time per
//! element is that of one message among others.

#![allow(clippy::expect_used)] // A benchmark of a refused message measures nothing.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluicegate_websocket::frame::{Header, Opcode};
use sluicegate_websocket::negotiation::Extensions;
use sluicegate_websocket::{
    Compression, Event, Limits, Outbound, Payload, Reader, Scanner, Scratch, Side, mask,
};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const SIZES: [usize; 3] = [128, 4 << 10, 64 << 10];
const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 64 };

/// Text that compresses about as well as JSON does.
fn text(len: usize) -> String {
    let words = (0u32..).map(|n| format!("{{\"id\":{},\"name\":\"user{}\"}},", n * 7919, n % 97));
    words.flat_map(|word| word.into_bytes()).take(len).map(char::from).collect()
}

fn masked_frames(opcode: Opcode, payload: &[u8]) -> (Vec<u8>, u64) {
    let count = (64 << 10) / payload.len();
    let mut frames = Vec::new();
    for _ in 0..count {
        frames.extend_from_slice(&Header::whole(opcode, Some(KEY), payload.len()).encode());
        mask::append(&mut frames, payload, KEY);
    }
    (frames, count as u64)
}

fn scanner(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scanner");
    for size in SIZES {
        let (frames, count) = masked_frames(Opcode::Text, text(size).as_bytes());
        group.throughput(Throughput::Elements(count));
        group.bench_with_input(BenchmarkId::new("masked", size), &frames, |bencher, frames| {
            let mut scanner = Scanner::new(Side::Client, LIMITS, Extensions::None);
            bencher.iter(|| {
                let mut input = &frames[..];
                while let Ok(Some(piece)) = scanner.next(&mut input) {
                    black_box(&piece);
                }
            });
        });
    }
}

fn reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reader");
    for size in SIZES {
        for (name, opcode) in [("masked binary", Opcode::Binary), ("masked text", Opcode::Text)] {
            let (frames, count) = masked_frames(opcode, text(size).as_bytes());
            group.throughput(Throughput::Elements(count));
            group.bench_with_input(BenchmarkId::new(name, size), &frames, |bencher, frames| {
                let (mut scratch, mut reader) = (Scratch::new(), Reader::new(Side::Client, LIMITS, None));
                bencher.iter(|| read_all(&mut reader, &mut scratch, frames));
            });
            // As it comes from a socket: no message whole in one input.
            let name = format!("{name} in parts");
            group.bench_with_input(BenchmarkId::new(name, size), &frames, |bencher, frames| {
                let (mut scratch, mut reader) = (Scratch::new(), Reader::new(Side::Client, LIMITS, None));
                bencher.iter(|| {
                    for part in frames.chunks(size * 2 / 3 + 1) {
                        read_all(&mut reader, &mut scratch, part);
                    }
                });
            });
        }
    }
}

fn compressed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reader compressed");
    for size in SIZES {
        for context_takeover in [true, false] {
            let compression = Compression { context_takeover, window_bits: 15 };
            let frames = compressed_frames(compression, &text(size));
            let name = if context_takeover { "takeover" } else { "no takeover" };
            group.throughput(Throughput::Elements(1));
            group.bench_with_input(BenchmarkId::new(name, size), &frames, |bencher, frames| {
                let mut scratch = Scratch::new();
                let mut reader = Reader::new(Side::Client, LIMITS, Some(compression));
                bencher.iter(|| read_all(&mut reader, &mut scratch, frames));
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("outbound");
    for size in SIZES {
        for context_takeover in [true, false] {
            let compression = Compression { context_takeover, window_bits: 15 };
            let text = text(size);
            let name = if context_takeover { "rewrite, takeover" } else { "rewrite, no takeover" };
            group.throughput(Throughput::Elements(1));
            group.bench_with_input(BenchmarkId::new(name, size), &text, |bencher, text| {
                let (mut outbound, message) = rewriting(compression, text);
                let mut out = Vec::new();
                bencher.iter(|| {
                    out.clear();
                    outbound.forward(&message, &mut out, &mut || KEY);
                });
            });
        }
    }
}

/// An outbound that compresses all anew, and a compressed message for it.
fn rewriting(sent: Compression, text: &str) -> (Outbound, sluicegate_websocket::Message<'_>) {
    let received = Compression { context_takeover: true, window_bits: 15 };
    let sent_less = Compression { window_bits: 14, ..sent };
    let outbound = Outbound::new(Side::Upstream, Some(received), Some(sent_less));
    let payload = Payload::Text(text);
    (outbound, sluicegate_websocket::Message { payload, original: &[], compressed: true })
}

/// One compressed message, independent of those before it.
fn compressed_frames(compression: Compression, text: &str) -> Vec<u8> {
    let (mut outbound, message) = rewriting(compression, text);
    let mut frames = Vec::new();
    outbound.forward(&message, &mut frames, &mut || KEY);
    frames
}

fn read_all(reader: &mut Reader, scratch: &mut Scratch, mut input: &[u8]) {
    while let Some(event) = reader.read(&mut input, scratch).expect("well-formed") {
        if let Event::Message(message) = event {
            black_box(message.payload.as_bytes());
        }
    }
}

criterion_group!(benches, scanner, reader, compressed);
criterion_main!(benches);
