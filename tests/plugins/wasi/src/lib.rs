//! Tries what WASI has to offer, which toolchains of other languages import unasked. A request for `/reach` is answered
//! with what was found, one for `/sleep` after an hour, any other passes.

use sluicegate_sdk::prelude::*;

use self::wasi::cli::environment::{get_arguments, get_environment, initial_cwd};
use self::wasi::clocks::monotonic_clock::subscribe_duration;
use self::wasi::filesystem::preopens::get_directories;
use self::wasi::sockets::instance_network::instance_network;
use self::wasi::sockets::ip_name_lookup::resolve_addresses;
use self::wasi::sockets::network::{ErrorCode, IpAddressFamily};
use self::wasi::sockets::tcp_create_socket::create_tcp_socket;
use self::wasi::sockets::udp_create_socket::create_udp_socket;

const HOUR_NS: u64 = 3_600_000_000_000;

wit_bindgen::generate!({
    inline: "
        package test:wasi;

        world reach {
            import wasi:cli/environment@0.2.0;
            import wasi:clocks/monotonic-clock@0.2.0;
            import wasi:filesystem/preopens@0.2.0;
            import wasi:sockets/instance-network@0.2.0;
            import wasi:sockets/ip-name-lookup@0.2.0;
            import wasi:sockets/tcp-create-socket@0.2.0;
            import wasi:sockets/udp-create-socket@0.2.0;
        }

        package wasi:cli@0.2.0 {
            interface environment {
                get-environment: func() -> list<tuple<string, string>>;
                get-arguments: func() -> list<string>;
                initial-cwd: func() -> option<string>;
            }
        }

        package wasi:io@0.2.0 {
            interface poll {
                resource pollable {
                    block: func();
                }
            }
        }

        package wasi:clocks@0.2.0 {
            interface monotonic-clock {
                use wasi:io/poll@0.2.0.{pollable};
                subscribe-duration: func(when: u64) -> pollable;
            }
        }

        package wasi:filesystem@0.2.0 {
            interface types {
                resource descriptor;
            }
            interface preopens {
                use types.{descriptor};
                get-directories: func() -> list<tuple<descriptor, string>>;
            }
        }

        package wasi:sockets@0.2.0 {
            interface network {
                resource network;
                enum error-code {
                    unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout,
                    concurrency-conflict, not-in-progress, would-block, invalid-state, new-socket-limit,
                    address-not-bindable, address-in-use, remote-unreachable, connection-refused, connection-reset,
                    connection-aborted, datagram-too-large, name-unresolvable, temporary-resolver-failure,
                    permanent-resolver-failure,
                }
                enum ip-address-family { ipv4, ipv6 }
            }
            interface instance-network {
                use network.{network};
                instance-network: func() -> network;
            }
            interface ip-name-lookup {
                use network.{network, error-code};
                resource resolve-address-stream;
                resolve-addresses: func(network: borrow<network>, name: string)
                    -> result<resolve-address-stream, error-code>;
            }
            interface tcp {
                resource tcp-socket;
            }
            interface tcp-create-socket {
                use network.{error-code, ip-address-family};
                use tcp.{tcp-socket};
                create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
            }
            interface udp {
                resource udp-socket;
            }
            interface udp-create-socket {
                use network.{error-code, ip-address-family};
                use udp.{udp-socket};
                create-udp-socket: func(address-family: ip-address-family) -> result<udp-socket, error-code>;
            }
        }
    ",
    generate_all,
});

struct Reaching;

impl Plugin for Reaching {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

impl RequestHook for Reaching {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        match request.path() {
            "/reach" => RequestVerdict::respond(200, reach()),
            "/sleep" => {
                subscribe_duration(HOUR_NS).block();
                RequestVerdict::respond(200, "awake")
            }
            _ => RequestVerdict::Pass,
        }
    }
}

export!(Reaching: RequestHook);

fn reach() -> String {
    format!(
        "environment {}, arguments {}, folder {:?}, directories {}, name {}, tcp {}, udp {}",
        get_environment().len(),
        get_arguments().len(),
        initial_cwd(),
        get_directories().len(),
        found(resolve_addresses(&instance_network(), "localhost")),
        found(create_tcp_socket(IpAddressFamily::Ipv4)),
        found(create_udp_socket(IpAddressFamily::Ipv4)),
    )
}

fn found<T>(result: Result<T, ErrorCode>) -> String {
    result.map_or_else(|error| error.name().to_owned(), |_| "there".to_owned())
}
