//! Sockets, and what is agreed on over them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use libp2p::identity::Keypair;
use libp2p::tls;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, IdleTimeout,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use sha2::Sha256;
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::config::NetConfig;
use crate::net::quic::QuicError;

/// The one version of QUIC that is spoken.
const VERSION: u32 = 1;

/// Everything that sockets of a transport have in common.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    client: ClientConfig,
    server: ServerConfig,
    endpoint: EndpointConfig,
    /// How long a handshake may take.
    pub(super) patience: Duration,
}

impl Settings {
    pub(super) fn new(keypair: &Keypair, config: &NetConfig) -> Result<Self, QuicError> {
        let transport = Arc::new(transport(config));
        let client = QuicClientConfig::try_from(tls::make_client_config(keypair, None)?)?;
        let mut client = ClientConfig::new(Arc::new(client));
        client.transport_config(Arc::clone(&transport));
        let server = QuicServerConfig::try_from(tls::make_server_config(keypair)?)?;
        let mut server = ServerConfig::with_crypto(Arc::new(server));
        // As many as are let in from an address stay at it, and nobody is made to answer another's.
        server.migration(false);
        server.transport_config(transport);
        let mut endpoint = match keypair.derive_secret(b"parlor quic reset") {
            Some(secret) => EndpointConfig::new(Arc::new(ResetKey(secret))),
            None => EndpointConfig::default(),
        };
        endpoint.supported_versions(vec![VERSION]);
        Ok(Self { client, server, endpoint, patience: config.connect })
    }

    pub(super) fn client(&self) -> ClientConfig {
        self.client.clone()
    }

    /// A socket at `at` that connections come in by.
    pub(super) fn listen(&self, at: SocketAddr) -> Result<Endpoint, QuicError> {
        Self::open(self.endpoint.clone(), at, Some(self.server.clone()))
    }

    /// A socket for one connection, which takes none. Packets that come to it need not say which
    /// connection they are of: each is 8 bytes shorter.
    pub(super) fn dialer(&self, at: SocketAddr) -> Result<Endpoint, QuicError> {
        let mut endpoint = self.endpoint.clone();
        endpoint.cid_generator(|| Box::new(Nameless));
        Self::open(endpoint, at, None)
    }

    fn open(
        endpoint: EndpointConfig,
        at: SocketAddr,
        server: Option<ServerConfig>,
    ) -> Result<Endpoint, QuicError> {
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
        if at.is_ipv6() {
            // So that both families can be listened to at one port.
            socket.set_only_v6(true)?;
        }
        socket.bind(&at.into())?;
        let socket = UdpSocket::from(socket);
        Ok(Endpoint::new(endpoint, server, socket, Arc::new(TokioRuntime))?)
    }
}

fn transport(config: &NetConfig) -> TransportConfig {
    let idle = u32::try_from(config.quic_idle.as_millis()).unwrap_or(u32::MAX);
    let unread = Some(config.datagrams_unread).filter(|unread| *unread > 0);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_concurrent_bidi_streams(config.quic_streams.into())
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
        .keep_alive_interval(Some(config.quic_keep_alive))
        .stream_receive_window(config.quic_stream_window.into())
        .receive_window(config.quic_connection_window.into())
        .datagram_receive_buffer_size(unread)
        .datagram_send_buffer_size(config.datagrams_unsent)
        // Tells those on the way how long the way is, and nobody here has a use for it.
        .allow_spin(false);
    transport
}

/// Gives connections no name (RFC 9000, section 5.1).
#[derive(Debug)]
struct Nameless;

impl ConnectionIdGenerator for Nameless {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&[])
    }

    fn cid_len(&self) -> usize {
        0
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Signs the notice that a connection is unknown here. Derived from the identity, so that a relay
/// that was started again can end the connections of the one before.
struct ResetKey([u8; 32]);

impl ResetKey {
    fn mac(&self, data: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(data);
        mac
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        out.copy_from_slice(&self.mac(data).finalize().into_bytes());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.mac(data).verify_slice(signature).map_err(|_| CryptoError)
    }
}
