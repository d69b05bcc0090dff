//! Clients in a closed loop: each keeps its connection and calls again as soon as it is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use super::{
    target::{Era, FIRST_ID, Target, in_session},
    upstream::ANSWER,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Calls before those that count, in time.
const WARM_UP: Duration = Duration::from_millis(500);
/// Sessions that are begun at a time.
const BEGINNING: usize = 16;
/// What takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one measurement says.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// Calls a second.
    pub(super) rate: f64,
    /// How many calls were not answered as they should have been, and how the first one was.
    pub(super) failures: u64,
    pub(super) first_failure: Option<String>,
}

/// `connections` clients call `target` for `window`.
pub(super) async fn measure(
    target: &Target,
    connections: usize,
    window: Duration,
) -> Result<Sample, Failure> {
    let clients = connect(target, connections).await?;
    let from = Instant::now() + WARM_UP;
    let until = from + window;
    let running: Vec<_> = clients.into_iter().map(|client| tokio::spawn(client.run(from, until))).collect();
    let (mut times, mut answered, mut failures, mut first_failure) = (Vec::new(), 0, 0, None);
    for client in running {
        let done = client.await?;
        answered += done.answered;
        failures += done.failures;
        first_failure = first_failure.or(done.first_failure);
        times.extend(done.times);
    }
    if times.is_empty() {
        let why = first_failure.unwrap_or_else(|| "no answer at all".into());
        return Err(format!("{}: {why}", target.name).into());
    }
    times.sort_unstable();
    Ok(Sample {
        p50: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
        rate: answered as f64 / window.as_secs_f64(),
        failures,
        first_failure,
    })
}

/// `connections` clients call `target` until `done` calls have been answered, which it counts.
pub(super) async fn drive(
    target: &Target,
    connections: usize,
    calls: u64,
    done: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let clients = connect(target, connections).await?;
    let run = |mut client: Client| {
        let done = done.clone();
        tokio::spawn(async move {
            while done.fetch_add(1, Ordering::Relaxed) < calls {
                client.call().await?;
            }
            Ok::<(), Failure>(())
        })
    };
    let running: Vec<_> = clients.into_iter().map(run).collect();
    for client in running {
        client.await??;
    }
    Ok(())
}

async fn connect(target: &Target, connections: usize) -> Result<Vec<Client>, Failure> {
    let room = Arc::new(Semaphore::new(BEGINNING));
    let begin = |_| {
        let (target, room) = (target.clone(), room.clone());
        tokio::spawn(async move {
            let _place = room.acquire().await?;
            Client::begin(target).await
        })
    };
    let beginning: Vec<_> = (0..connections).map(begin).collect();
    let mut clients = Vec::with_capacity(connections);
    for client in beginning {
        let client = client.await?;
        clients.push(client.map_err(|why| format!("{}: no connection: {why}", target.name))?);
    }
    Ok(clients)
}

/// What one client saw.
#[derive(Default)]
struct Done {
    times: Vec<Duration>,
    /// Answers within the window.
    answered: u64,
    failures: u64,
    first_failure: Option<String>,
}

/// One connection.
struct Client {
    target: Target,
    stream: TcpStream,
    request: Vec<u8>,
    /// Where the id stands in it.
    id_at: usize,
    next_id: u64,
    session: Option<String>,
    buffer: Vec<u8>,
}

/// An answer: its status, and where its body is in the buffer.
struct Answer {
    status: u16,
    session: Option<String>,
    body: usize,
}

impl Client {
    async fn begin(target: Target) -> Result<Self, Failure> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let (request, id_at) = target.call(None);
        let mut client = Client {
            target,
            stream,
            request,
            id_at,
            next_id: FIRST_ID,
            session: None,
            buffer: Vec::with_capacity(4096),
        };
        if client.target.era == Era::Legacy {
            timeout(PATIENCE, client.open_session()).await??;
        }
        Ok(client)
    }

    async fn open_session(&mut self) -> Result<(), Failure> {
        let body = concat!(
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
            r#""capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#
        );
        let answer = self.send((self.target.head("POST", "", body.len()) + body).as_bytes()).await?;
        if answer.status != 200 {
            return Err(self.said(&answer).into());
        }
        self.session = answer.session;
        let more = in_session(self.session.as_deref());
        let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let answer = self.send((self.target.head("POST", &more, body.len()) + body).as_bytes()).await?;
        if answer.status != 202 && answer.status != 200 {
            return Err(self.said(&answer).into());
        }
        (self.request, self.id_at) = self.target.call(self.session.as_deref());
        Ok(())
    }

    async fn run(mut self, from: Instant, until: Instant) -> Done {
        let mut done = Done::default();
        loop {
            let started = Instant::now();
            if started >= until {
                break;
            }
            let answered = self.call().await;
            let ended = Instant::now();
            match answered {
                Ok(()) => {
                    done.answered += u64::from(ended >= from && ended < until);
                    if started >= from {
                        done.times.push(ended - started);
                    }
                }
                Err(why) => {
                    done.failures += 1;
                    done.first_failure.get_or_insert_with(|| why.to_string());
                    match Client::begin(self.target.clone()).await {
                        Ok(again) => self = again,
                        Err(_) => break,
                    }
                }
            }
        }
        self.end_session().await;
        done
    }

    /// As a client does that is done. What the server thinks of it does not matter here.
    async fn end_session(&mut self) {
        if self.session.is_some() {
            let request = self.target.head("DELETE", &in_session(self.session.as_deref()), 0);
            drop(timeout(PATIENCE, self.send(request.as_bytes())).await);
        }
    }

    /// One call.
    async fn call(&mut self) -> Result<(), Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let digits = id.to_string();
        self.request[self.id_at..self.id_at + digits.len()].copy_from_slice(digits.as_bytes());
        let request = std::mem::take(&mut self.request);
        let answer = timeout(PATIENCE, self.send(&request)).await;
        self.request = request;
        let answer = answer.map_err(|_| format!("no answer within {PATIENCE:?}"))??;
        let body = &self.buffer[answer.body..];
        let holds = |what: &str| body.windows(what.len()).any(|window| window == what.as_bytes());
        if answer.status == 200 && holds(ANSWER) && holds(&digits) {
            Ok(())
        } else {
            Err(self.said(&answer).into())
        }
    }

    fn said(&self, answer: &Answer) -> String {
        let body = String::from_utf8_lossy(&self.buffer[answer.body..]);
        format!("{} {}", answer.status, body.chars().take(300).collect::<String>())
    }

    /// Sends a whole request and reads the whole answer.
    async fn send(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed".into());
            }
            if head.is_none()
                && let Some(at) = find(&self.buffer, b"\r\n\r\n")
            {
                head = Some(Head::read(&self.buffer[..at])?);
            }
            let Some(Head { length, status, session, is_chunked }) = &mut head else { continue };
            // INVARIANT: it was found above.
            let body = find(&self.buffer, b"\r\n\r\n").unwrap_or_default() + 4;
            let is_whole = match is_chunked {
                true => {
                    self.buffer[body..].starts_with(b"0\r\n\r\n") || self.buffer.ends_with(b"\r\n0\r\n\r\n")
                }
                false => self.buffer.len() - body >= *length,
            };
            if is_whole {
                return Ok(Answer { status: *status, session: session.take(), body });
            }
        }
    }
}

/// What of an answer's head matters.
struct Head {
    status: u16,
    length: usize,
    is_chunked: bool,
    session: Option<String>,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let text = str::from_utf8(bytes)?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status")?.parse()?;
        let mut head = Head { status, length: 0, is_chunked: false, session: None };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.is_chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("mcp-session-id") {
                head.session = Some(value.to_owned());
            }
        }
        Ok(head)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
