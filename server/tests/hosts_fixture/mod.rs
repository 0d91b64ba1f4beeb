//! A cell's hub with a control loop that only records, a link with a loop that only passes on, and a bare client.

use futures::future::BoxFuture;
use futures::{SinkExt as _, StreamExt as _};
use muster::agent::link::{self, Identity, LinkSettings, LinkState};
use muster::hosts::{Authority, AuthoritySettings, Control, Hub};
use muster_schemas::ids::{CellName, HostId};
use muster_schemas::state::{HostFacts, HostResources};
use muster_schemas::wire::{Assignments, Fence, FromAgent, Report, ToAgent};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

/// More than any of these take, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(20);

/// The control loop takes half a second for the report with this sequence number.
pub const SLOW_REPORT: u64 = 1_000_000;

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it took too long")
}

pub async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Enrolled(String),
    Connected(HostId, String, Fence),
    Reported(HostId, u64),
    Facts(HostId, String),
    Disconnected(HostId),
    Fenced(HostId, Fence, Fence),
}

type Wanted = watch::Sender<Option<Arc<Assignments>>>;

/// Records what it hears, and knows the hosts that it has enrolled.
#[derive(Default)]
pub struct Recorder {
    heard: Mutex<Vec<Heard>>,
    known: Mutex<HashSet<HostId>>,
    wanted: Mutex<HashMap<HostId, Wanted>>,
    refuse_enrolment: Mutex<Option<String>>,
    refuse_sessions: Mutex<Option<String>>,
}

impl Recorder {
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }

    pub fn clear(&self) {
        self.heard.lock().expect("no panic").clear();
    }

    pub fn assign(&self, host: HostId, assignments: Assignments) {
        self.wanted
            .lock()
            .expect("no panic")
            .entry(host)
            .or_insert_with(|| watch::channel(None).0)
            .send_replace(Some(Arc::new(assignments)));
    }

    pub fn forget(&self, host: HostId) {
        self.known.lock().expect("no panic").remove(&host);
        self.wanted.lock().expect("no panic").remove(&host);
    }

    pub fn refuse_enrolment(&self, why: Option<&str>) {
        *self.refuse_enrolment.lock().expect("no panic") = why.map(str::to_owned);
    }

    pub fn refuse_sessions(&self, why: Option<&str>) {
        *self.refuse_sessions.lock().expect("no panic") = why.map(str::to_owned);
    }

    fn push(&self, heard: Heard) {
        self.heard.lock().expect("no panic").push(heard);
    }
}

impl Control for Recorder {
    fn enrol(&self, name: String) -> BoxFuture<'_, Result<HostId, String>> {
        Box::pin(async move {
            if let Some(why) = self.refuse_enrolment.lock().expect("no panic").clone() {
                return Err(why);
            }
            let host = HostId(uuid::Uuid::now_v7());
            self.known.lock().expect("no panic").insert(host);
            self.push(Heard::Enrolled(name));
            Ok(host)
        })
    }

    fn knows(&self, host: HostId) -> bool {
        self.known.lock().expect("no panic").contains(&host)
    }

    fn connected(
        &self,
        host: HostId,
        facts: HostFacts,
        fence: Fence,
    ) -> BoxFuture<'_, Result<watch::Receiver<Option<Arc<Assignments>>>, String>> {
        Box::pin(async move {
            if let Some(why) = self.refuse_sessions.lock().expect("no panic").clone() {
                return Err(why);
            }
            self.push(Heard::Connected(host, facts.name, fence));
            Ok(self
                .wanted
                .lock()
                .expect("no panic")
                .entry(host)
                .or_insert_with(|| watch::channel(None).0)
                .subscribe())
        })
    }

    fn reported(&self, host: HostId, report: Report) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Long enough for what comes next to overtake it, if that were possible.
            let slowness = match report.fence.seq {
                SLOW_REPORT => 500,
                seq => seq % 3,
            };
            tokio::time::sleep(Duration::from_millis(slowness)).await;
            self.push(Heard::Reported(host, report.fence.seq));
        })
    }

    fn facts(&self, host: HostId, facts: HostFacts) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.push(Heard::Facts(host, facts.name)) })
    }

    fn heard(&self, _host: HostId) {}

    fn fenced(&self, host: HostId, got: Fence, highest: Fence) -> BoxFuture<'_, ()> {
        self.push(Heard::Fenced(host, got, highest));
        Box::pin(std::future::ready(()))
    }

    fn disconnected(&self, host: HostId) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.push(Heard::Disconnected(host)) })
    }
}

/// A cell that serves on a free port of 127.0.0.1.
pub struct Cell {
    stopped: Stopped,
    pub hub: Hub,
    pub control: Arc<Recorder>,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// A cell that does not serve now, and can again on the same port.
pub struct Stopped {
    home: tempfile::TempDir,
    settings: AuthoritySettings,
    name: String,
    address: SocketAddr,
    control: Arc<Recorder>,
}

impl Cell {
    pub async fn start() -> Self {
        Self::start_with(AuthoritySettings::default()).await
    }

    pub async fn start_with(settings: AuthoritySettings) -> Self {
        Stopped {
            home: tempfile::tempdir().expect("a directory"),
            settings,
            name: "green".to_owned(),
            address: "127.0.0.1:0".parse().expect("an address"),
            control: Arc::default(),
        }
        .start()
        .await
    }

    pub async fn stop(self) -> Stopped {
        self.shutdown.cancel();
        within(self.serving)
            .await
            .expect("no panic")
            .expect("a clean end");
        self.stopped
    }

    pub async fn restart(self) -> Self {
        self.stop().await.start().await
    }

    /// Restarts with another name, as a cell that was given this one's authority.
    pub async fn restart_as(self, name: &str) -> Self {
        let mut stopped = self.stop().await;
        stopped.name = name.to_owned();
        stopped.start().await
    }

    pub fn home(&self) -> &Path {
        self.stopped.home.path()
    }

    /// The directory of the agent `name`.
    pub fn directory(&self, name: &str) -> PathBuf {
        self.home().join("agents").join(name)
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.stopped.address)
    }

    pub async fn token(&self) -> String {
        self.hub.mint_token("a test").await.expect("minted").token
    }

    pub async fn enrol(&self, name: &str) -> Identity {
        within(link::enrol(
            &self.url(),
            &self.token().await,
            name,
            &self.directory(name),
        ))
        .await
        .expect("enrolled")
    }

    fn authority_pem(&self) -> String {
        std::fs::read_to_string(self.home().join("pki/authority.pem")).expect("kept")
    }
}

impl Stopped {
    pub async fn start(mut self) -> Cell {
        let authority = Authority::open(&self.home.path().join("pki"), self.settings.clone())
            .expect("an authority");
        let hub = Hub::new(
            self.control.clone(),
            authority,
            CellName::from(self.name.as_str()),
        );
        let listener = TcpListener::bind(self.address).await.expect("a free port");
        self.address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(hub.clone().serve_on(listener, shutdown.clone()));
        Cell {
            hub,
            control: self.control.clone(),
            shutdown,
            serving,
            stopped: self,
        }
    }
}

/// A link whose loop is the test.
pub struct StartedLink {
    out: mpsc::Sender<FromAgent>,
    inn: mpsc::Receiver<ToAgent>,
    state: watch::Receiver<LinkState>,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl StartedLink {
    pub fn start(identity: Identity) -> Self {
        let (out, from_loop) = mpsc::channel(16);
        let (to_loop, inn) = mpsc::channel(16);
        let (state_sender, state) = watch::channel(LinkState::Down {
            why: "not yet".to_owned(),
        });
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(link::run_with(
            LinkSettings {
                longest_pause: Duration::from_millis(500),
                ..LinkSettings::default()
            },
            identity,
            from_loop,
            to_loop,
            state_sender,
            shutdown.clone(),
        ));
        Self {
            out,
            inn,
            state,
            shutdown,
            running,
        }
    }

    pub async fn until(&mut self, is_so: impl Fn(&LinkState) -> bool) {
        within(self.state.wait_for(|state| is_so(state)))
            .await
            .expect("the link runs");
    }

    pub async fn say_hello(&mut self) {
        self.until(|state| *state == LinkState::Up).await;
        self.say(hello("a")).await;
    }

    pub async fn say(&self, frame: FromAgent) {
        within(self.out.send(frame)).await.expect("the link runs");
    }

    pub async fn next(&mut self) -> ToAgent {
        within(self.inn.recv()).await.expect("the link runs")
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        within(self.running).await.expect("no panic");
    }
}

/// A client without any of the link's care.
pub struct Raw {
    authority: String,
    own: Option<(String, String)>,
    version: &'static rustls::SupportedProtocolVersion,
}

#[derive(Debug)]
pub struct RawSocket(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl RawSocket {
    pub async fn send(&mut self, frame: &FromAgent) {
        let text = serde_json::to_string(frame).expect("JSON");
        within(self.0.send(Message::text(text)))
            .await
            .expect("sent");
    }

    pub async fn hello(&mut self, name: &str) {
        self.send(&hello(name)).await;
    }
}

impl Raw {
    /// With the identity that is kept in an agent's directory.
    pub fn of(directory: &Path) -> Self {
        let text = std::fs::read_to_string(directory.join("identity/identity.json")).expect("kept");
        let kept: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let field = |name: &str| kept[name].as_str().expect("text").to_owned();
        Self {
            authority: field("authority_pem"),
            own: Some((field("certificate_pem"), field("key_pem"))),
            version: &rustls::version::TLS13,
        }
    }

    pub fn anonymous(cell: &Cell) -> Self {
        Self {
            authority: cell.authority_pem(),
            own: None,
            version: &rustls::version::TLS13,
        }
    }

    pub fn trusting(mut self, cell: &Cell) -> Self {
        self.authority = cell.authority_pem();
        self
    }

    pub fn speaking_tls12(mut self) -> Self {
        self.version = &rustls::version::TLS12;
        self
    }

    fn tls(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.authority.as_bytes()).expect("PEM"))
            .expect("an authority");
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_protocol_versions(&[self.version])
        .expect("versions")
        .with_root_certificates(roots);
        match &self.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
                )
                .expect("a pair"),
        }
    }

    pub async fn connect(&self, cell: &Cell) -> Result<RawSocket, String> {
        let url = format!("wss://{}/agent/v1/connect", cell.stopped.address);
        let tls = Connector::Rustls(Arc::new(self.tls()));
        within(tokio_tungstenite::connect_async_tls_with_config(
            url,
            None,
            true,
            Some(tls),
        ))
        .await
        .map(|(socket, _)| RawSocket(socket))
        .map_err(|error| format!("{error} {error:?}"))
    }

    pub async fn request(
        &self,
        cell: &Cell,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls())
            .no_proxy()
            .build()
            .expect("a client");
        let method = method.parse().expect("a method");
        let answer = within(
            client
                .request(method, format!("{}/agent/v1/{path}", cell.url()))
                .body(body.to_owned())
                .send(),
        )
        .await
        .expect("an answer");
        let status = answer.status().as_u16();
        (status, within(answer.text()).await.unwrap_or_default())
    }
}

/// How the server closes the connection.
pub async fn close_of(socket: &mut RawSocket) -> (u16, String) {
    loop {
        match within(socket.0.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => {
                return (frame.code.into(), frame.reason.to_string());
            }
            Some(Ok(_)) => {}
            other => panic!("a close frame was expected: {other:?}"),
        }
    }
}

pub fn hello(name: &str) -> FromAgent {
    FromAgent::Hello {
        facts: Box::new(facts(name)),
        fence: Fence { epoch: 3, seq: 4 },
    }
}

pub fn facts(name: &str) -> HostFacts {
    HostFacts {
        name: name.to_owned(),
        address: "127.0.0.1".to_owned(),
        zone: "z".to_owned(),
        labels: BTreeMap::new(),
        resources: HostResources::default(),
        engine: "none".to_owned(),
        system: "none".to_owned(),
        agent_version: "0".to_owned(),
        warnings: Vec::new(),
        not_ready: None,
    }
}

pub fn report(seq: u64) -> Report {
    Report {
        complete: true,
        fence: Fence { epoch: 1, seq },
        attempts: Vec::new(),
        orphans: Vec::new(),
    }
}

pub fn assignments(host: HostId, seq: u64) -> Assignments {
    Assignments {
        cell: CellName::from("green"),
        host,
        fence: Fence { epoch: 1, seq },
        items: Vec::new(),
        put_back: Vec::new(),
        supersedes: None,
    }
}
