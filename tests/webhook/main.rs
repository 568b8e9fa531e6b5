//! Webhooks against servers on this computer: good ones, and those that are slow, broken or a trap.
#![cfg(feature = "net")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

mod door;
mod server;

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use parlor::net::{Authoriser, Clock, Deliveries, Lifecycle, Target, WebhookConfig, WebhookFault};
use parlor::proto::authorisation::{Question, Verdict};
use parlor::proto::id::{AppId, ClientNumber, Identity, RoomName};
use parlor::proto::token::{Role, Roles};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::server::{Reply, SECRET, Seen, Server};

const APP: AppId = AppId([7; 8]);
const YES: &str = r#"{"allow":true}"#;

/// As it is for a server on this computer, and in a hurry.
fn config() -> WebhookConfig {
    WebhookConfig {
        allow_plain: true,
        allow_private: true,
        request: Duration::from_millis(500),
        backoff: Duration::from_millis(10),
        backoff_cap: Duration::from_millis(40),
        ..WebhookConfig::default()
    }
}

fn target(url: &str) -> Target {
    Target::new(url, SECRET.parse().unwrap(), &config()).unwrap()
}

fn authoriser(url: &str, config: WebhookConfig) -> Authoriser {
    Authoriser::new(target(url), config, Clock::new())
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn question(peer: u8) -> Question {
    let peer = Identity::from_seed([peer; 32]).peer();
    Question { app: APP, room: room("lobby"), peer, context: "session 12".to_owned() }
}

/// What becomes of a question to a server that replies so.
async fn verdict(reply: Reply) -> Result<Verdict, WebhookFault> {
    let server = Server::start(move |_| reply.clone()).await;
    authoriser(&server.url(), config()).authorise(&question(1)).await
}

#[tokio::test]
async fn a_question_is_signed_and_its_answer_heard() {
    let answer = r#"{"allow":true,"roles":["join","speak"]}"#;
    let server = Server::start(move |_| Reply::good(answer)).await;
    let verdict = authoriser(&server.url(), config()).authorise(&question(1)).await;
    let roles = Some(Roles::NONE.with(Role::Join).with(Role::Speak));
    assert_eq!(verdict, Ok(Verdict::Allowed { roles }));
    let seen = server.seen().pop().unwrap();
    assert!(seen.is_signed(), "{seen:?}");
    let now = Clock::unix_micros() / 1_000_000;
    assert!(now.abs_diff(seen.header("webhook-timestamp").parse().unwrap()) < 60);
    let body: Json = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body["type"], "room.join");
    let peer = question(1).peer.to_string();
    let data =
        json!({ "app": "07".repeat(8), "room": "lobby", "peer": peer, "context": "session 12" });
    assert_eq!(body["data"], data);
}

#[tokio::test]
async fn a_refusal_has_words_for_people_and_for_the_application() {
    let answer = r#"{"allow":false,"message":"The game is over.","context":"E7"}"#;
    let (message, context) = ("The game is over.".to_owned(), "E7".to_owned());
    assert_eq!(verdict(Reply::good(answer)).await, Ok(Verdict::Refused { message, context }));
}

#[tokio::test]
async fn answers_are_remembered_and_so_are_refusals() {
    for allow in [true, false] {
        let answer = json!({ "allow": allow, "cache_seconds": 60, "cache_key": ["room"] });
        let answer = answer.to_string();
        let server = Server::start(move |_| Reply::good(&answer)).await;
        let authoriser = authoriser(&server.url(), config());
        let first = authoriser.authorise(&question(1)).await;
        assert_eq!(authoriser.authorise(&question(2)).await, first);
        assert_eq!(server.seen().len(), 1);
        let elsewhere = Question { room: room("other"), ..question(1) };
        assert_eq!(authoriser.authorise(&elsewhere).await, first);
        assert_eq!(server.seen().len(), 2);
    }
    let server = Server::start(|_| Reply::good(YES)).await;
    let authoriser = authoriser(&server.url(), config());
    authoriser.authorise(&question(1)).await.unwrap();
    authoriser.authorise(&question(1)).await.unwrap();
    assert_eq!(server.seen().len(), 2, "what says nothing of a time is asked again");
}

#[tokio::test]
async fn nothing_but_a_good_answer_lets_anybody_in() {
    let big = format!("{YES}{}", " ".repeat(64 << 10));
    let after = config().request;
    for status in [400, 401, 403, 404, 410, 500, 503] {
        let why = verdict(Reply::Say(status, String::new(), YES.to_owned())).await.unwrap_err();
        assert_eq!(why, WebhookFault::Status { status });
    }
    for body in ["", "{}", "yes", r#"{"allow":1}"#, r#"{"allow":true,"roles":["all"]}"#] {
        assert_eq!(
            verdict(Reply::good(body)).await.unwrap_err(),
            WebhookFault::Malformed,
            "{body}"
        );
    }
    let too_long = WebhookFault::TooLong { limit: 64 << 10 };
    assert_eq!(verdict(Reply::good(&big)).await.unwrap_err(), too_long);
    assert_eq!(verdict(Reply::Never).await.unwrap_err(), WebhookFault::TimedOut { after });
    assert_eq!(verdict(Reply::Drip).await.unwrap_err(), WebhookFault::TimedOut { after });
    let why = verdict(Reply::HangUp).await.unwrap_err();
    assert!(matches!(why, WebhookFault::Unreachable { .. }), "{why}");
    let nobody = Server::nobody();
    let why = authoriser(&nobody, config()).authorise(&question(1)).await.unwrap_err();
    assert!(matches!(why, WebhookFault::Unreachable { .. }), "{why}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_| Reply::good(YES)).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}\r\n", elsewhere.url());
        let reply = Reply::Say(status, location, YES.to_owned());
        assert_eq!(verdict(reply).await.unwrap_err(), WebhookFault::Redirected { status });
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn nothing_inside_is_connected_to() {
    let server = Server::start(|_| Reply::good(YES)).await;
    let port = server.port();
    let guarded = WebhookConfig { allow_private: false, ..config() };
    let hosts = [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ];
    for host in hosts {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let asked = authoriser(&url, guarded.clone()).authorise(&question(1)).await;
            assert_eq!(asked.unwrap_err(), WebhookFault::Inside, "{url}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn other_ways_to_write_an_address_lead_nowhere_else() {
    let server = Server::start(|_| Reply::good(YES)).await;
    let port = server.port();
    let guarded = WebhookConfig { allow_private: false, ..config() };
    for host in ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1.", "LOCALHOST"] {
        let url = format!("http://{host}:{port}/");
        let asked = authoriser(&url, guarded.clone()).authorise(&question(1)).await;
        // It is looked up as whatever the system takes it for, or is no name at all.
        asked.unwrap_err();
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_server_without_tls_is_no_server_for_https() {
    let server = Server::start(|_| Reply::good(YES)).await;
    let url = server.url().replace("http:", "https:");
    let why = authoriser(&url, config()).authorise(&question(1)).await.unwrap_err();
    assert!(matches!(why, WebhookFault::Unreachable { .. }), "{why}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn so_many_are_asked_at_once_so_many_wait_and_the_rest_is_refused() {
    let server = Server::start(|_| Reply::Late(Duration::from_millis(100), YES)).await;
    let few = WebhookConfig { in_flight: 2, waiting: 3, ..config() };
    let authoriser = Arc::new(authoriser(&server.url(), few));
    let mut tasks = JoinSet::new();
    for peer in 1..=9 {
        let authoriser = Arc::clone(&authoriser);
        tasks.spawn(async move { authoriser.authorise(&question(peer)).await });
    }
    let verdicts = tasks.join_all().await;
    let busy = Err(WebhookFault::Busy);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == busy).count(), 4);
    let yes = Ok(Verdict::Allowed { roles: None });
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == yes).count(), 5);
    assert_eq!(server.most_at_once(), 2);
    // Whoever goes makes room.
    assert_eq!(authoriser.authorise(&question(1)).await, yes);
}

/// Delivers in the background until the set is dropped.
fn deliver(url: &str, config: WebhookConfig) -> (Deliveries, JoinSet<()>) {
    let (deliveries, courier) = Deliveries::new(target(url), config, Clock::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(courier.run());
    (deliveries, tasks)
}

fn joined(client: u32) -> Lifecycle {
    let peer = Identity::from_seed([1; 32]).peer();
    Lifecycle::MemberJoined { peer, client: ClientNumber(client) }
}

/// What a body tells: a member's number, or its type.
fn told(body: &str) -> String {
    let body: Json = serde_json::from_str(body).unwrap();
    body["data"]["client"].as_u64().map_or_else(|| body["type"].to_string(), |n| n.to_string())
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if what() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it took more than 10 s");
}

#[tokio::test]
async fn events_arrive_signed_and_in_order() {
    let server = Server::start(|_| Reply::good("")).await;
    let (deliveries, mut tasks) = deliver(&server.url(), config());
    deliveries.push(APP, &room("lobby"), &Lifecycle::RoomCreated);
    for client in 1..=20 {
        deliveries.push(APP, &room("lobby"), &joined(client));
    }
    deliveries.push(APP, &room("lobby"), &Lifecycle::RoomClosed);
    drop(deliveries);
    tasks.join_next().await.unwrap().unwrap();
    let seen = server.seen();
    assert!(seen.iter().all(Seen::is_signed));
    let told: Vec<_> = seen.iter().map(|seen| told(&seen.body)).collect();
    let expected = iter::once("\"room.created\"".to_owned())
        .chain((1..=20).map(|client| client.to_string()))
        .chain(["\"room.closed\"".to_owned()]);
    assert_eq!(told, expected.collect::<Vec<_>>());
    assert!(server.connections() < 5, "connections are used again");
}

#[tokio::test]
async fn an_event_is_tried_with_one_id_until_it_has_arrived() {
    // Every other request is heard, and answered by none or by a bad answer.
    let server = Server::start(|count| match count % 4 {
        0 => Reply::HangUp,
        2 => Reply::Say(500, String::new(), String::new()),
        _ => Reply::good(""),
    })
    .await;
    let (deliveries, _tasks) = deliver(&server.url(), config());
    for client in 1..=10 {
        deliveries.push(APP, &room("lobby"), &joined(client));
    }
    until(|| deliveries.statistics().delivered == 10).await;
    let mut order = Vec::new();
    let mut ids = BTreeMap::new();
    for seen in server.seen() {
        let (id, told) = (seen.header("webhook-id").to_owned(), told(&seen.body));
        assert_eq!(ids.entry(told.clone()).or_insert_with(|| id.clone()), &id);
        if order.last() != Some(&told) {
            order.push(told);
        }
    }
    assert_eq!(order, (1..=10).map(|client| client.to_string()).collect::<Vec<_>>());
    let statistics = deliveries.statistics();
    assert_eq!((statistics.waiting, statistics.lost), (0, 0));
    assert!(statistics.failed >= 10, "{statistics:?}");
}

#[tokio::test]
async fn what_a_good_answer_to_an_event_says_does_not_matter() {
    let big = " ".repeat(100_000);
    for reply in [Reply::good("no"), Reply::good(&big), Reply::Drip] {
        let server = Server::start(move |_| reply.clone()).await;
        let (deliveries, _tasks) = deliver(&server.url(), config());
        for client in 1..=2 {
            deliveries.push(APP, &room("lobby"), &joined(client));
        }
        until(|| deliveries.statistics().delivered == 2).await;
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_server_that_was_down_is_told_all_when_it_is_back() {
    let url = Server::nobody();
    let (deliveries, _tasks) = deliver(&url, config());
    for client in 1..=50 {
        deliveries.push(APP, &room("lobby"), &joined(client));
    }
    until(|| deliveries.statistics().failed > 3).await;
    assert_eq!(deliveries.statistics().waiting, 50);
    let server = Server::start_at(&url, |_| Reply::good("")).await;
    until(|| deliveries.statistics().delivered == 50).await;
    let told: Vec<_> = server.seen().iter().map(|seen| told(&seen.body)).collect();
    assert_eq!(told, (1..=50).map(|client| client.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_more_wait_than_may_and_the_target_is_told_how_many_were_lost() {
    let url = Server::nobody();
    let (deliveries, _tasks) = deliver(&url, WebhookConfig { queue: 5, ..config() });
    deliveries.push(APP, &room("lobby"), &joined(1));
    until(|| deliveries.statistics().failed > 0).await;
    for client in 2..=100 {
        deliveries.push(APP, &room("lobby"), &joined(client));
    }
    assert_eq!(deliveries.statistics().waiting, 6);
    assert_eq!(deliveries.statistics().lost, 94);
    let server = Server::start_at(&url, |_| Reply::good("")).await;
    until(|| deliveries.statistics().delivered == 6).await;
    let seen = server.seen();
    let told: Vec<_> = seen.iter().map(|seen| told(&seen.body)).collect();
    assert_eq!(told, ["1", "\"events.lost\"", "96", "97", "98", "99", "100"]);
    let lost: Json = serde_json::from_str(&seen[1].body).unwrap();
    assert_eq!(lost["data"]["count"], 94);
}

#[tokio::test]
async fn a_courier_that_reaches_nobody_ends_with_the_other_half() {
    let (deliveries, mut tasks) = deliver(&Server::nobody(), config());
    deliveries.push(APP, &room("lobby"), &joined(1));
    until(|| deliveries.statistics().failed > 0).await;
    drop(deliveries);
    let ended = timeout(Duration::from_secs(10), tasks.join_next()).await;
    ended.unwrap().unwrap().unwrap();
}
