//! A small HTTP server that replies as it is told, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What requests are signed with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status, more header lines, and a body.
    Say(u16, String, String),
    /// A good answer, after a while.
    Late(Duration, &'static str),
    /// Nothing, and the connection stays.
    Never,
    /// The beginning of an answer, and a byte of the rest now and then.
    Drip,
    /// The connection is closed.
    HangUp,
}

impl Reply {
    pub(crate) fn good(body: &str) -> Self {
        Self::Say(200, String::new(), body.to_owned())
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    head: String,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).unwrap().1
    }

    /// Whether the signature is that of Standard Webhooks: HMAC-SHA256, written out.
    pub(crate) fn is_signed(&self) -> bool {
        let mut key = [0; 64];
        let secret = BASE64.decode(&SECRET.as_bytes()[6..]).unwrap();
        key[..secret.len()].copy_from_slice(&secret);
        let (id, time) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let signed = format!("{id}.{time}.{}", self.body);
        let inner = Sha256::new().chain_update(key.map(|byte| byte ^ 0x36)).chain_update(signed);
        let outer = Sha256::new().chain_update(key.map(|byte| byte ^ 0x5c));
        let mac = outer.chain_update(inner.finalize()).finalize();
        self.header("webhook-signature") == format!("v1,{}", BASE64.encode(&mac))
    }
}

type Replies = dyn Fn(usize) -> Reply + Send + Sync;

#[derive(Default)]
struct Record {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// It serves until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    record: Arc<Record>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// A server whose reply is by how many requests came before.
    pub(crate) async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("http://127.0.0.1:0/", reply).await
    }

    pub(crate) async fn start_at(
        url: &str,
        reply: impl Fn(usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Record::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, Arc::clone(&record), Arc::new(reply)));
        Self { address, record, _tasks: tasks }
    }

    /// An address at which nobody is.
    pub(crate) fn nobody() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.record.most.load(Ordering::SeqCst)
    }
}

async fn listen(listener: TcpListener, record: Arc<Record>, reply: Arc<Replies>) {
    let mut tasks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        record.connections.fetch_add(1, Ordering::SeqCst);
        tasks.spawn(serve(stream, Arc::clone(&record), Arc::clone(&reply)));
    }
}

async fn serve(mut stream: TcpStream, record: Arc<Record>, reply: Arc<Replies>) {
    while let Some(seen) = read(&mut stream).await {
        let count = {
            let mut all = record.seen.lock().unwrap();
            all.push(seen);
            all.len() - 1
        };
        let now = record.now.fetch_add(1, Ordering::SeqCst) + 1;
        record.most.fetch_max(now, Ordering::SeqCst);
        let answered = answer(&mut stream, reply(count)).await;
        record.now.fetch_sub(1, Ordering::SeqCst);
        if !answered {
            return;
        }
    }
}

/// Replies. Returns whether the connection goes on.
async fn answer(stream: &mut TcpStream, reply: Reply) -> bool {
    let (status, headers, body) = match reply {
        Reply::Say(status, headers, body) => (status, headers, body),
        Reply::Late(wait, body) => {
            sleep(wait).await;
            (200, String::new(), body.to_owned())
        }
        Reply::Never => {
            sleep(Duration::from_secs(60)).await;
            return false;
        }
        Reply::Drip => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n").await.ok();
            while stream.write_all(b" ").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
            return false;
        }
        Reply::HangUp => return false,
    };
    let length = body.len();
    let text = format!("HTTP/1.1 {status} So\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(text.as_bytes()).await.is_ok()
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            let head = String::from_utf8(bytes).unwrap();
            bytes = body;
            break head;
        }
        let more = stream.read_buf(&mut bytes).await.unwrap_or(0);
        // What is not a request, as the first word of TLS, is not waited for.
        if more == 0 || !bytes.starts_with(b"P") {
            return None;
        }
    };
    let mut seen = Seen { head, body: String::new() };
    let length = seen.header("content-length").parse().unwrap();
    while bytes.len() < length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    seen.body = String::from_utf8(bytes).unwrap();
    Some(seen)
}
