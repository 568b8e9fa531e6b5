//! A relay, peers and an application's server: who comes in, and what the server hears of it.

use std::time::Duration;

use futures::future::join_all;
use parlor::net::{
    Authoriser, Clock, Deliveries, HookedHub, Relay, RelayNetConfig, Target, WebhookConfig,
};
use parlor::proto::config::HubConfig;
use parlor::proto::event::{Event, State};
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, Identity};
use parlor::proto::time::Time;
use parlor::room::{ConnectOptions, Room};
use parlor::{Entrance, Model, Reason, Refusal, Request};
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::server::{Reply, SECRET, Seen, Server};
use super::{YES, until};

const KEY: &str = "webhooks";

#[derive(Clone, Debug, Default, Model)]
struct Nothing {
    #[property(1)]
    count: i64,
}

/// A relay, until it is dropped or stopped.
struct Host {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    relay: JoinSet<HookedHub>,
    couriers: JoinSet<()>,
}

/// As a relay has it, but for a server on this computer.
fn config() -> WebhookConfig {
    WebhookConfig { allow_plain: true, allow_private: true, ..WebhookConfig::default() }
}

impl Host {
    /// A relay that asks at one URL and tells another, if they are given.
    async fn start(
        ask: Option<(&str, WebhookConfig)>,
        tell: Option<(&str, WebhookConfig)>,
    ) -> Self {
        let identity = Identity::from_seed([1; 32]);
        let key = AppKey::new(KEY).unwrap();
        let app = key.app();
        let linger = Duration::from_millis(100);
        let hub = HubConfig { linger, joins_per_minute: 1_000, ..HubConfig::default() };
        let hub = Hub::new(identity.clone(), [key], hub, Clock::unix_micros(), [9; 32], 1);
        let mut hub = HookedHub::new(hub);
        let mut couriers = JoinSet::new();
        let target = |(url, config): (&str, WebhookConfig)| {
            (Target::new(url, SECRET.parse().unwrap(), &config).unwrap(), config)
        };
        if let Some((target, config)) = ask.map(target) {
            hub.ask(app, Authoriser::new(target, config, Clock::new()));
        }
        if let Some((target, config)) = tell.map(target) {
            let (deliveries, courier) = Deliveries::new(target, config, Clock::new());
            hub.tell(app, deliveries);
            couriers.spawn(courier.run());
        }
        let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1"];
        let relay = Box::pin(Relay::bind(&identity, &listen, net, hub)).await.unwrap();
        let address = relay.addresses()[0].clone();
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(Box::pin(relay.run(async {
            stopped.await.ok();
        })));
        Self { address, stop: Some(stop), relay: tasks, couriers }
    }

    fn enter(&self, room: &str, who: u8, context: &str) -> Room<Nothing> {
        let mut options = ConnectOptions::new(room, KEY, &[&self.address]);
        options.identity = Some(Identity::from_seed([who; 32]));
        options.entrance = Entrance { context: context.to_owned(), ..Entrance::default() };
        Room::connect(options).unwrap()
    }

    /// Ends it, and waits until its last words are out.
    async fn stop(mut self) {
        drop(self.stop.take());
        drop(self.relay.join_next().await.unwrap().unwrap());
        self.couriers.join_all().await;
    }
}

/// Lets a room run until it is sent away. Why, and after how long.
async fn refusal(room: &mut Room<Nothing>) -> (Refusal, Duration) {
    let clock = Clock::new();
    let refused = timeout(Duration::from_secs(30), async {
        loop {
            room.wait(Duration::from_millis(20)).await;
            let Some(Event::State(state)) = room.poll_event() else { continue };
            match state {
                State::Reconnecting { reason: Reason::Refused(refusal), .. }
                | State::Closed(Reason::Refused(refusal)) => return refusal,
                State::Ready => panic!("it is in"),
                State::Reconnecting { reason, .. } | State::Closed(reason) => panic!("{reason}"),
                State::Offline | State::Connecting | State::Joining => {}
            }
        }
    });
    (refused.await.unwrap(), clock.now() - Time::ZERO)
}

async fn ready(room: &mut Room<Nothing>) {
    timeout(Duration::from_secs(20), room.ready()).await.unwrap().unwrap();
}

fn body(seen: &Seen) -> Json {
    serde_json::from_str(&seen.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_the_server_allows_comes_in() {
    let server = Server::start(|_| Reply::good(YES)).await;
    let host = Host::start(Some((&server.url(), config())), None).await;
    let mut ann = host.enter("room", 2, "session 12");
    ready(&mut ann).await;
    let [seen] = &server.seen()[..] else { panic!("it was asked once") };
    assert!(seen.is_signed());
    let asked = body(seen);
    assert_eq!(asked["type"], "room.join");
    let app = AppKey::new(KEY).unwrap().app();
    let app: String = app.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let peer = ann.peer().to_string();
    let data = json!({ "app": app, "room": "room", "peer": peer, "context": "session 12" });
    assert_eq!(asked["data"], data);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_it_refuses_is_told_in_its_words() {
    let no = r#"{"allow":false,"message":"your account is closed","context":"code 7"}"#;
    let server = Server::start(move |_| Reply::good(no)).await;
    let host = Host::start(Some((&server.url(), config())), None).await;
    let (refusal, _) = Box::pin(refusal(&mut host.enter("room", 2, ""))).await;
    let (message, context) = ("your account is closed".to_owned(), "code 7".to_owned());
    assert_eq!(refusal, Refusal::Unauthorised { message, context });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_remembered_for_whom_it_says() {
    let yes = r#"{"allow":true,"cache_seconds":60,"cache_key":["context"]}"#;
    let server = Server::start(move |_| Reply::good(yes)).await;
    let host = Host::start(Some((&server.url(), config())), None).await;
    for (who, context) in [(2, "a"), (3, "a"), (4, "b"), (5, "b")] {
        ready(&mut host.enter("room", who, context)).await;
    }
    assert_eq!(server.seen().len(), 2);
}

/// With the time and all that a relay has by default.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_answer_a_join_fails_within_five_seconds() {
    let elsewhere = Server::start(|_| Reply::good(YES)).await;
    let location = format!("location: {}\r\n", elsewhere.url());
    let servers = [
        Reply::Never,
        Reply::Drip,
        Reply::HangUp,
        Reply::Late(Duration::from_secs(8), YES),
        Reply::Say(500, String::new(), YES.to_owned()),
        Reply::Say(307, location, String::new()),
        Reply::good("true"),
    ];
    let mut hosts = Vec::new();
    let mut kept = Vec::new();
    for reply in servers {
        let server = Server::start(move |_| reply.clone()).await;
        hosts.push(Host::start(Some((&server.url(), config())), None).await);
        kept.push(server);
    }
    hosts.push(Host::start(Some((&Server::nobody(), config())), None).await);
    // Inside, which only an operator may allow.
    let good = Server::start(|_| Reply::good(YES)).await;
    let inside = WebhookConfig { allow_private: false, ..config() };
    hosts.push(Host::start(Some((&good.url(), inside)), None).await);
    let asked = hosts.iter().map(|host| async {
        let mut room = host.enter("room", 2, "");
        let outcome = Box::pin(refusal(&mut room)).await;
        // Its end would hold up the others.
        (outcome, room)
    });
    let (outcomes, _rooms): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
    for (place, (refusal, took)) in outcomes.into_iter().enumerate() {
        assert_eq!(refusal, Refusal::Unanswered, "server {place}");
        println!("server {place}: refused after {} ms", took.as_millis());
        assert!(took < Duration::from_secs(5), "server {place}: {took:?}");
    }
    assert!(elsewhere.seen().is_empty(), "a redirect is not followed");
    assert_eq!(good.connections(), 0, "nothing inside is connected to");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_can_be_asked_about_fail_closed_too() {
    let server = Server::start(|_| Reply::Never).await;
    let few = WebhookConfig { in_flight: 2, waiting: 4, ..config() };
    let request = Duration::from_secs(2);
    let few = WebhookConfig { request, ..few };
    let host = Host::start(Some((&server.url(), few)), None).await;
    let mut tasks = JoinSet::new();
    for who in 2..22 {
        let mut room = host.enter("room", who, "");
        tasks.spawn(async move { (Box::pin(refusal(&mut room)).await, room) });
    }
    let (outcomes, _rooms): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().unzip();
    assert!(outcomes.iter().all(|(refusal, _)| *refusal == Refusal::Unanswered));
    let at_once = outcomes.iter().filter(|(_, took)| *took < request).count();
    assert_eq!(at_once, 14, "{outcomes:?}");
}

/// What a server was told, in short: each event with whom it is about.
fn told(seen: &[Seen]) -> Vec<String> {
    let mut told: Vec<(String, String)> = Vec::new();
    for seen in seen {
        let id = seen.header("webhook-id").to_owned();
        let body = body(seen);
        let kind = body["type"].as_str().unwrap().to_owned();
        let data = &body["data"];
        let about = ["client", "reason", "action"].map(|field| match &data[field] {
            Json::Null => String::new(),
            Json::String(text) => format!(" {text}"),
            other => format!(" {other}"),
        });
        // Whoever is told twice passes the second over.
        if !told.iter().any(|(other, _)| *other == id) {
            told.push((id, format!("{} {kind}{}", data["room"].as_str().unwrap(), about.concat())));
        }
    }
    told.into_iter().map(|(_, told)| told).collect()
}

/// Two rooms: somebody comes, another comes, is put out, and the first leaves.
async fn life(host: &Host) {
    for name in ["first", "second"] {
        let mut ann = host.enter(name, 2, "");
        ready(&mut ann).await;
        let mut bob = host.enter(name, 3, "");
        ready(&mut bob).await;
        let (peer, ban) = (bob.peer(), Duration::from_secs(60));
        Box::pin(ann.request(&Request::Kick { peer, ban })).await.unwrap();
        let (why, _) = Box::pin(refusal_of(&mut bob)).await;
        assert_eq!(why, Refusal::Kicked { ban_s: 60 });
        ann.leave();
        for _ in 0..10 {
            ann.wait(Duration::from_millis(20)).await;
        }
    }
}

/// Why somebody who is in is put out.
async fn refusal_of(room: &mut Room<Nothing>) -> (Refusal, Vec<Event>) {
    let mut events = Vec::new();
    timeout(Duration::from_secs(20), async {
        loop {
            room.wait(Duration::from_millis(20)).await;
            events.extend(std::iter::from_fn(|| room.poll_event()));
            if let State::Closed(Reason::Refused(refusal)) = room.state() {
                return refusal.clone();
            }
        }
    })
    .await
    .map(|refusal| (refusal, events))
    .unwrap()
}

fn lived(name: &str) -> Vec<String> {
    let what = [
        "room.created",
        "member.joined 1",
        "member.joined 2",
        "member.moderated kick",
        "member.left 2 kicked",
        "member.left 1 left",
        "room.closed",
    ];
    what.map(|what| format!("{name} {what}")).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_told_what_happens_in_order() {
    let server = Server::start(|_| Reply::good("")).await;
    let host = Host::start(None, Some((&server.url(), config()))).await;
    Box::pin(life(&host)).await;
    host.stop().await;
    assert!(server.seen().iter().all(Seen::is_signed));
    assert_eq!(told(&server.seen()), [lived("first"), lived("second")].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_down_is_told_everything_that_happened_when_it_is_back() {
    let url = Server::nobody();
    let backoff = Duration::from_millis(50);
    let impatient = WebhookConfig { backoff, backoff_cap: 4 * backoff, ..config() };
    let host = Host::start(None, Some((&url, impatient))).await;
    Box::pin(life(&host)).await;
    sleep(Duration::from_millis(300)).await;
    // Back, and at first it fails every other time, after it has heard.
    let server = Server::start_at(&url, |count| match count % 2 {
        0 if count < 8 => Reply::Say(503, String::new(), String::new()),
        _ => Reply::good(""),
    })
    .await;
    let expected = [lived("first"), lived("second")].concat();
    until(|| told(&server.seen()).len() == expected.len()).await;
    assert_eq!(told(&server.seen()), expected);
    assert!(server.seen().len() > expected.len(), "some came twice");
    host.stop().await;
}
