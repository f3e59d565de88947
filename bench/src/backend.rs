//! A WebSocket server that echoes frames as they came, compressed or not.

use std::io;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::Outcome;
use crate::wire::{accept, field, read_head};

const BACKLOG: u32 = 4096;

pub async fn run() -> Outcome<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    println!("{}", listener.local_addr()?.port());
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(serve(stream));
        }
    });
    // As long as whoever started it lives.
    let ended = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    ended.await??;
    Ok(())
}

/// Until the client leaves, which is no error.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    let deflate =
        field(&head, "sec-websocket-extensions").is_some_and(|offer| offer.contains("permessage-deflate"));
    let extensions = if deflate { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
    let accept = accept(field(&head, "sec-websocket-key").unwrap_or_default());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    loop {
        let mut header = [0; 6];
        stream.read_exact(&mut header).await?;
        let [first, length, mask @ ..] = header;
        let mut frame = vec![first, length & 0x7f];
        frame.resize(2 + usize::from(length & 0x7f), 0);
        stream.read_exact(&mut frame[2..]).await?;
        for (byte, key) in frame[2..].iter_mut().zip(mask.into_iter().cycle()) {
            *byte ^= key;
        }
        stream.write_all(&frame).await?;
    }
}
