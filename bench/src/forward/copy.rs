//! tokio's `copy_bidirectional` on one thread.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use super::Arguments;
use crate::{Outcome, tls};

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let config = tls::server(&arguments.certificate, &arguments.key)?;
    LocalRuntime::new()?.block_on(async {
        let backend = arguments.backend;
        let encrypted = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.tls_port)).await?;
        spawn_local(serve_tls(encrypted, TlsAcceptor::from(Arc::new(config)), backend));
        let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
        loop {
            let (client, _) = plain.accept().await?;
            client.set_nodelay(true)?;
            spawn_local(forward(client, backend));
        }
    })
}

async fn serve_tls(listener: TcpListener, acceptor: TlsAcceptor, backend: u16) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        spawn_local(async move { forward(acceptor.accept(client).await?, backend).await });
    }
}

/// Until either leaves, which is no error.
async fn forward(mut client: impl AsyncRead + AsyncWrite + Unpin, backend: u16) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, backend)).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
