//! Whatever the bytes and however they are cut.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::time::Sleep;

use super::*;

/// A client that has sent `pieces`, one for each read, and closes after a long silence; keeps the answers.
struct Script {
    pieces: VecDeque<Bytes>,
    silence: Option<Pin<Box<Sleep>>>,
    answers: Vec<u8>,
}

impl Script {
    fn new(bytes: &[u8], cuts: &[Index]) -> Self {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let pieces = cuts.windows(2).map(|cut| Bytes::copy_from_slice(&bytes[cut[0]..cut[1]])).collect();
        Self { pieces, silence: None, answers: Vec::new() }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.pieces.pop_front() else {
            let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(Duration::from_secs(1_000))));
            return silence.as_mut().poll(cx).map(Ok);
        };
        out.put_slice(&piece.split_to(piece.len().min(out.remaining())));
        if !piece.is_empty() {
            self.pieces.push_front(piece);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answers.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Time passes when there is nothing else to do, so every stream comes to an end.
fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

/// What a reader of `room` bytes at a time gets of a stream, and the verdict.
fn read_through(bytes: &[u8], cuts: &[Index], room: usize) -> (Vec<u8>, Verdict) {
    let guard = Guard::new(Script::new(bytes, cuts), Limits::default());
    let mut passed = Vec::new();
    block_on(async {
        let mut buffer = vec![0; room];
        loop {
            match (&guard).read(&mut buffer).await.unwrap() {
                0 => break,
                length => passed.extend_from_slice(&buffer[..length]),
            }
        }
    });
    (passed, guard.verdict())
}

/// The answers of hyper behind the guard, and the verdict.
fn serve_script(bytes: &[u8], cuts: &[Index]) -> (String, Verdict) {
    let Ended { io, verdict, result, .. } = block_on(serve(Script::new(bytes, cuts), echo));
    result.expect("not abandoned").expect("hyper has nothing to complain of");
    (String::from_utf8_lossy(&io.answers).into_owned(), verdict)
}

/// A valid request, and its echo.
fn request() -> impl Strategy<Value = (Vec<u8>, String)> {
    let fields = vec("[a-z]{1,8}[-_!]:[ \t]?[ -~]{0,20}[ \t]?", 0..4).prop_map(|fields| fields.join("\r\n"));
    let body = prop_oneof![
        Just((String::new(), String::new(), String::new())),
        "[a-z \r\n]{0,40}".prop_map(|body| (
            format!("Content-Length: {}\r\n", body.len()),
            body.clone(),
            body
        )),
        (vec("[a-z \r\n]{1,20}", 0..4), "(;[a-z]{1,5}(=\"[a-z]\")?)?", "(x-[a-z]: [a-z]\r\n){0,2}")
            .prop_map(chunked),
    ];
    let target = "/[a-z%]{0,8}(\\?[a-z/&]{0,4})?";
    let blank = prop_oneof![9 => Just(""), 1 => Just("\r\n")];
    (blank, "[A-Z]{1,4}Q", target, "[a-z]{1,4}(:[0-9]{1,4})?", fields, body).prop_map(
        |(blank, method, target, host, fields, (framing, body, content))| {
            let end = if fields.is_empty() { "" } else { "\r\n" };
            let head =
                format!("{blank}{method} {target} HTTP/1.1\r\nHost: {host}\r\n{framing}{fields}{end}\r\n");
            ([head, body].concat().into_bytes(), ok(&format!("{method} {target} {content}")))
        },
    )
}

fn chunked((chunks, extension, trailers): (Vec<String>, String, String)) -> (String, String, String) {
    let coded = chunks.iter().map(|chunk| format!("{:x}{extension}\r\n{chunk}\r\n", chunk.len()));
    let body = format!("{}0{extension}\r\n{trailers}\r\n", coded.collect::<String>());
    ("Transfer-Encoding: chunked\r\n".to_owned(), body, chunks.concat())
}

fn requests() -> impl Strategy<Value = (Vec<u8>, String)> {
    vec(request(), 1..5).prop_map(|requests| {
        let (bytes, answers): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        (bytes.concat(), answers.concat())
    })
}

/// A stream with one thing wrong with it, or hardly.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..3),
        "[\r\n\t :;,0-9]{1,2}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "\r\nContent-Length: 3",
            "\r\nTransfer-Encoding: chunked",
            "\r\nHost: b",
            "\r\n\r\n",
            "\r\n ",
            "\r\nExpect: 100-continue",
            "\r\nConnection: upgrade\r\nUpgrade: websocket",
            "\r\nConnection: close",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (requests(), any::<Index>(), 0..3_usize, piece).prop_map(|((mut bytes, _), at, removed, piece)| {
        let at = at.index(bytes.len());
        bytes.splice(at..bytes.len().min(at + removed), piece);
        bytes
    })
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_requests_pass_unchanged((bytes, _) in requests(), cuts in cuts(), room in 1..200_usize) {
        let (passed, verdict) = read_through(&bytes, &cuts, room);
        prop_assert_eq!(passed, bytes);
        prop_assert_eq!((verdict.head(), verdict.body()), (None, None));
    }

    #[test]
    fn hyper_reads_what_was_meant((bytes, expected) in requests(), cuts in cuts()) {
        let (answers, verdict) = serve_script(&bytes, &cuts);
        prop_assert_eq!(answers, expected);
        prop_assert_eq!((verdict.head(), verdict.body()), (None, None));
    }

    #[test]
    fn the_verdict_is_the_same_however_a_stream_is_cut(
        bytes in damaged(), cuts in [cuts(), cuts()], room in [1..200_usize, 1..200_usize]
    ) {
        let [one, other] = [0, 1].map(|i| {
            let (passed, verdict) = read_through(&bytes, &cuts[i], room[i]);
            assert!(bytes.starts_with(&passed));
            (verdict.head(), verdict.body())
        });
        prop_assert_eq!(one, other);
    }

    /// Each answer is the service's: what passes the guard, hyper takes as well.
    #[test]
    fn hyper_has_nothing_to_refuse(bytes in damaged(), cuts in cuts()) {
        let (answers, verdict) = serve_script(&bytes, &cuts);
        let broken_off = verdict.body().map_or(StatusCode::IM_A_TEAPOT, Rejection::status);
        for status in answers.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")) {
            let expected = ["200 OK", "100 Continue"].contains(&status) || status == broken_off.to_string();
            prop_assert!(expected, "{}", status);
        }
    }
}
