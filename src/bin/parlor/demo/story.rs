//! What happens in the demo.

use std::time::Duration;

use parlor::net::Clock;
use serde_json::{Value as Json, json};

use super::peer::Order;
use super::process::Process;
use super::proxy::Proxy;
use super::table::{self, Steps};
use crate::failure::Failure;
use crate::output::{Output, STRONG, paint};

const ROOM: &str = "demo";
/// How long the peers have to become equal.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many small edits are measured.
const NUDGES: u32 = 100;

/// Everybody in the demo.
struct Cast {
    key: String,
    /// Where the relay is.
    addresses: Vec<String>,
    /// Where it is by the wire that is cut.
    wire: String,
    peers: Vec<Process>,
}

impl Cast {
    /// Starts a peer process, which goes on its way into the room.
    fn enter(&mut self, name: &str, by_wire: bool) -> Result<(), Failure> {
        let arguments = ["demo-peer", "--room", ROOM, "--name", name];
        let mut arguments: Vec<String> = arguments.map(ToOwned::to_owned).to_vec();
        let wire = [self.wire.clone()];
        let addresses = if by_wire { &wire[..] } else { &self.addresses };
        for address in addresses {
            arguments.extend(["--relay".to_owned(), address.clone()]);
        }
        let peer = Process::start(name, &arguments, &self.key)?;
        self.peers.push(peer);
        Ok(())
    }

    /// Tells some peers to do something, all at once, and waits until they have.
    async fn all(&mut self, which: &[usize], order: Order) -> Result<Vec<Json>, Failure> {
        for &peer in which {
            self.peers[peer].tell(order).await?;
        }
        let mut answers = Vec::new();
        for &peer in which {
            answers.push(self.peers[peer].read().await?);
        }
        Ok(answers)
    }

    /// Waits until all peers hold the same. Returns what they hold, and whether it is.
    async fn agree(&mut self) -> Result<(Vec<Json>, bool), Failure> {
        let everybody: Vec<usize> = (0..self.peers.len()).collect();
        self.all(&everybody, Order::Settle).await?;
        let clock = Clock::new();
        loop {
            let reports = self.all(&everybody, Order::Report).await?;
            let same = reports.iter().all(|report| {
                ["state_hash", "heads", "counts"].iter().all(|key| report[key] == reports[0][key])
            });
            if same || Duration::from_micros(clock.now().as_micros()) > PATIENCE {
                return Ok((reports, same));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Tells the story, and proves its end.
pub(super) async fn tell(output: Output, key: &str) -> Result<(), Failure> {
    let mut steps = Steps::new(output);
    steps.begin("starting a relay");
    let (relay, addresses) = relay(key).await?;
    let (tcp, id) = wired(&addresses)?;
    let proxy = Proxy::open(tcp).await?;
    let wire = format!("/ip4/127.0.0.1/tcp/{}/p2p/{id}", proxy.port());
    let mut cast = Cast { key: key.to_owned(), addresses, wire, peers: Vec::new() };
    steps.end("relay", "a process of its own, at ports that the system chose")?;

    steps.begin("three peers come in");
    cast.enter("alice", false)?;
    cast.enter("bob", true)?;
    cast.enter("carol", true)?;
    cast.all(&[0, 1, 2], Order::Ready).await?;
    steps.end("join", "alice by QUIC, bob and carol by TCP")?;

    together(&mut cast, &mut steps).await?;
    apart(&mut cast, &proxy, &mut steps).await?;
    let late = late(&mut cast, &mut steps).await?;
    let delta = small(&mut cast, &mut steps).await?;

    steps.begin("comparing");
    let (reports, converged) = cast.agree().await?;
    steps.end("compare", if converged { "all are equal" } else { "some differ" })?;
    for mut peer in cast.peers {
        peer.ask(Order::Leave).await?;
        if !peer.end().await? {
            return Err(Failure::failed("a peer did not end well"));
        }
    }
    relay.end().await?;
    let seconds = steps.finish();
    conclude(output, &reports, converged, (&late, &delta), seconds)
}

/// Starts the relay. Returns where it is.
pub(super) async fn relay(key: &str) -> Result<(Process, Vec<String>), Failure> {
    let arguments = [
        "relay",
        "--json",
        "--until-eof",
        "--exempt-loopback",
        "--listen",
        "/ip4/127.0.0.1/udp/0/quic-v1",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    let mut relay = Process::start("the relay", &arguments.map(ToOwned::to_owned), key)?;
    let mut addresses = Vec::new();
    loop {
        let line = relay.read().await?;
        match line["address"].as_str() {
            Some(address) => addresses.push(address.to_owned()),
            None => return Ok((relay, addresses)),
        }
    }
}

/// The port of TCP and the relay's id.
fn wired(addresses: &[String]) -> Result<(u16, String), Failure> {
    addresses
        .iter()
        .find_map(|address| {
            let (_, rest) = address.split_once("/tcp/")?;
            let (port, id) = rest.split_once("/p2p/")?;
            Some((port.parse().ok()?, id.to_owned()))
        })
        .ok_or_else(|| Failure::failed("the relay has no TCP address"))
}

async fn together(cast: &mut Cast, steps: &mut Steps) -> Result<(), Failure> {
    steps.begin("all three edit at once");
    let order = Order::Edit { first: 1, rounds: 10 };
    cast.all(&[0, 1, 2], order).await?;
    let (_, same) = cast.agree().await?;
    let what = "three edit models, a counter, a set, a list and a text at once";
    steps.end(if same { "edit" } else { "DIFFER" }, what)
}

/// Bob and carol lose their links, go on, and come back.
async fn apart(cast: &mut Cast, proxy: &Proxy, steps: &mut Steps) -> Result<(), Failure> {
    steps.begin("bob and carol are cut off");
    proxy.set_whole(false);
    cast.all(&[1, 2], Order::Lose).await?;
    steps.end("cut", "the links of bob and carol are gone")?;

    steps.begin("everybody goes on");
    let order = Order::Edit { first: 11, rounds: 10 };
    let states = cast.all(&[0, 1, 2], order).await?;
    let away = states[1..].iter().all(|state| state["state"] != "ready");
    let reports = cast.all(&[0, 1, 2], Order::Report).await?;
    let differ = (1..3).all(|peer| reports[peer]["heads"] != reports[0]["heads"])
        && reports[1]["heads"] != reports[2]["heads"];
    if !away || !differ {
        return Err(Failure::failed("bob and carol were not cut off"));
    }
    steps.end("apart", "all three go on; now they hold three different rooms")?;

    steps.begin("the links come back");
    proxy.set_whole(true);
    cast.all(&[1, 2], Order::Ready).await?;
    let (_, same) = cast.agree().await?;
    let what = "the links are back, and what was done apart is one again";
    steps.end(if same { "merge" } else { "DIFFER" }, what)
}

async fn late(cast: &mut Cast, steps: &mut Steps) -> Result<Json, Failure> {
    steps.begin("dave comes late");
    cast.enter("dave", false)?;
    let late = cast.peers[3].ask(Order::Ready).await?;
    steps.end("late", "dave comes in, and has all that was done before")?;
    Ok(late)
}

/// How many bytes a small edit takes.
async fn small(cast: &mut Cast, steps: &mut Steps) -> Result<Json, Failure> {
    steps.begin("small edits");
    let delta = cast.peers[0].ask(Order::Nudge { times: NUDGES }).await?;
    steps.end("measure", "alice makes a hundred edits of one property each")?;
    Ok(delta)
}

fn conclude(
    output: Output,
    reports: &[Json],
    converged: bool,
    (late, delta): (&Json, &Json),
    seconds: f64,
) -> Result<(), Failure> {
    let mean = delta["bytes"].as_f64().unwrap_or_default() / f64::from(NUDGES);
    let outcome = json!({
        "converged": converged,
        "peers": reports.len(),
        "state_hash": reports[0]["state_hash"],
        "heads": reports[0]["heads"],
        "late_join_bytes": late["bytes"],
        "late_join_ms": late["ms"],
        "delta_bytes_mean": mean,
        "seconds": seconds,
        "reports": reports,
    });
    if output.json {
        output.object(&outcome)?;
    } else {
        output.line(table::of(reports))?;
        output.line(format_args!(
            "late join: {} bytes in {:.1} ms; a small edit: {mean:.1} bytes; all in {seconds:.1} s",
            late["bytes"],
            late["ms"].as_f64().unwrap_or_default(),
        ))?;
        let verdict = if converged { "all four peers hold the same" } else { "the peers DIFFER" };
        output.line(paint(STRONG, verdict))?;
    }
    if converged { Ok(()) } else { Err(Failure::Told) }
}
