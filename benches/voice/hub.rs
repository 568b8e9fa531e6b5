//! The relay, in a process of its own.

use std::future;
use std::net::SocketAddr;

use parlor::net::{Clock, Relay, RelayNetConfig};
use parlor::proto::hub;
use parlor::{AppKey, HubConfig, Identity};
use tokio::runtime::Runtime;

use crate::process::{self, Process};
use crate::{Carrier, Outcome};

pub(crate) const APP_KEY: &str = "a choir";

/// By UDP and by TCP.
const LISTEN: [&str; 2] = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];

/// Is the relay, which says where it is.
pub(crate) fn serve() -> Outcome<()> {
    let runtime = Runtime::new()?;
    let identity = Identity::from_seed([0; 32]);
    let keys = [AppKey::new(APP_KEY)?];
    let config = HubConfig::default();
    let hub = hub::Hub::new(identity.clone(), keys, config, Clock::unix_micros(), [9; 32], 1);
    let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
    let relay = runtime.block_on(Relay::bind(&identity, &LISTEN, net, hub))?;
    let addresses = relay.addresses().join(" ");
    runtime.spawn(async {
        Box::pin(relay.run(future::pending())).await;
    });
    process::answer(&addresses)
}

/// A relay that runs.
pub(crate) struct Hub(pub(crate) Process);

impl Hub {
    pub(crate) fn start() -> Outcome<Self> {
        Ok(Self(Process::start(&["--relay"])?))
    }

    /// Where it is, for who has voice by a carrier.
    pub(crate) fn address(&self, carrier: Carrier) -> Outcome<&str> {
        let part = match carrier {
            Carrier::Datagrams | Carrier::Streams => "/udp/",
            Carrier::Gossip => "/tcp/",
        };
        let mut addresses = self.0.said().split(' ');
        Ok(addresses.find(|address| address.contains(part)).ok_or("the relay is not there")?)
    }

    /// Its socket for UDP.
    pub(crate) fn socket(&self) -> Outcome<SocketAddr> {
        let parts: Vec<_> = self.address(Carrier::Datagrams)?.split('/').collect();
        let [_, _, ip, _, port, ..] = parts[..] else { return Err("no address of QUIC".into()) };
        Ok(SocketAddr::new(ip.parse()?, port.parse()?))
    }

    /// Where it is for UDP, by way of a proxy.
    pub(crate) fn behind(&self, proxy: SocketAddr) -> Outcome<String> {
        let address = self.address(Carrier::Datagrams)?;
        let (_, peer) = address.split_once("/p2p/").ok_or("a relay without a name")?;
        Ok(format!("/ip4/{}/udp/{}/quic-v1/p2p/{peer}", proxy.ip(), proxy.port()))
    }
}
