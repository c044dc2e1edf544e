//! The gateway's process: a folder of its own, its configuration, its log and its end.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Ask, Reply};
use super::{OURS, PATIENCE, until};

pub(crate) const SIGNING_KEY: &str = "a signing key of the tests, 32 bytes and more";

/// A folder of its own for each test, gone with it; and what no log may hold.
pub(crate) struct Place {
    folder: PathBuf,
    secrets: Mutex<Vec<String>>,
}

/// A tenant, and a key of its that may do all but give credit.
#[derive(Clone)]
pub(crate) struct Workspace {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// What a gateway is started with; it can be started again.
pub(crate) struct Setup {
    pub(crate) place: Arc<Place>,
    env: Vec<(String, String)>,
    trunks: String,
    rates: String,
    limits: String,
    open_files: Option<u32>,
}

/// A gateway that said it is ready. It is killed when this is dropped, and its log then looked at.
pub(crate) struct Gateway {
    child: Child,
    log: Arc<Log>,
    pub(crate) place: Arc<Place>,
    pub(crate) http: SocketAddr,
    pub(crate) ws: SocketAddr,
    pub(crate) sip: SocketAddr,
    pub(crate) admin: SocketAddr,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<String>,
    ended: bool,
}

impl Place {
    pub(crate) fn new() -> Arc<Self> {
        let folder = std::env::temp_dir().join(format!("sautikit-test-{}", super::unique()));
        std::fs::create_dir_all(&folder).unwrap();
        Arc::new(Self { folder, secrets: Mutex::new(vec![SIGNING_KEY.to_owned()]) })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.file("gateway.db")
    }

    /// The binary in this folder, with nothing of ours in its environment but the database.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sautikit-gateway"));
        for (name, _) in std::env::vars_os() {
            let ours = name.to_string_lossy().into_owned();
            if ours.starts_with("SAUTIKIT_") || ours.starts_with("DATABASE_URL") {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.env("DATABASE_URL", format!("sqlite://{}?mode=rwc", self.database().display()));
        command
    }

    /// `workspace create`, as an operator does it.
    pub(crate) fn workspace(&self, balance_minor: i64, numbers: &[&str]) -> Workspace {
        let mut command = self.command();
        command.args(["workspace", "create", "--name", "Shop", "--balance-minor"]);
        command.arg(balance_minor.to_string());
        for number in numbers {
            command.args(["--number", number]);
        }
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let json: Value = serde_json::from_slice(&made.stdout).unwrap();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        let workspace = Workspace { id: text("workspace_id"), key: text("api_key") };
        self.keep_out_of_logs(&workspace.key);
        workspace
    }

    /// What the log must not hold.
    pub(crate) fn keep_out_of_logs(&self, secret: &str) {
        self.secrets.lock().unwrap().push(secret.to_owned());
    }

    /// The rows of a statement, by the sqlite3 command line: another process than the gateway.
    pub(crate) fn sql(&self, statement: &str) -> Vec<Value> {
        let output = self.sqlite(&[statement]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && told.is_empty(), "{told}");
        if output.stdout.is_empty() {
            return Vec::new();
        }
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn sqlite(&self, statements: &[&str]) -> Output {
        let mut command = Command::new("sqlite3");
        command.args(["-batch", "-json", "-cmd", ".timeout 5000"]).arg(self.database());
        command.args(statements).output().expect("sqlite3 is installed (Debian package sqlite3)")
    }

    /// A credit that came from elsewhere, as another process of the operator's would post it.
    pub(crate) fn credit(&self, workspace: &Workspace, amount: i64) {
        let id = workspace.id.replace('-', "");
        self.sql(&format!(
            "INSERT INTO ledger (workspace_id, seq, id, kind, amount_minor, balance_after_minor, \
             idempotency_key, created_at) SELECT x'{id}', max(seq) + 1, randomblob(16), 'topup', \
             {amount}, (SELECT balance_minor FROM wallets WHERE workspace_id = x'{id}') + {amount}, \
             'credit-' || hex(randomblob(8)), 0 FROM ledger WHERE workspace_id = x'{id}'"
        ));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_dir_all(&self.folder);
    }
}

impl Setup {
    pub(crate) fn new() -> Self {
        let mut setup = Self {
            place: Place::new(),
            env: Vec::new(),
            trunks: String::new(),
            rates: String::new(),
            limits: String::new(),
            open_files: None,
        };
        for name in ["HTTP", "WS", "SIP_UDP", "ADMIN"] {
            setup = setup.env(&format!("SAUTIKIT_{name}_ADDR"), "127.0.0.1:0");
        }
        setup
            .env("SAUTIKIT_MEDIA", "bypass")
            .env("SAUTIKIT_LOG", "debug")
            .env("SAUTIKIT_SIP_TOKEN_SIGNING_KEY", SIGNING_KEY)
    }

    /// A later value of a name wins.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(each, _)| each != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn trunk(mut self, name: &str, address: SocketAddr, prefixes: &[&str]) -> Self {
        let prefixes = json!(prefixes);
        let uri = format!("sip:{address};transport=udp");
        let row = format!("[[trunk]]\nname = {name:?}\nuri = {uri:?}\nprefixes = {prefixes}\n");
        self.trunks.push_str(&row);
        self
    }

    pub(crate) fn rate(mut self, prefix: &str, per_minute: i64, increment: u32) -> Self {
        let row = format!(
            "[[rate]]\nprefix = {prefix:?}\nper_minute_minor = {per_minute}\n\
             increment_seconds = {increment}\n"
        );
        self.rates.push_str(&row);
        self
    }

    pub(crate) fn limit(mut self, name: &str, value: u32) -> Self {
        let _infallible = writeln!(self.limits, "{name} = {value}");
        self
    }

    /// What the process may hold open at most, and cannot raise.
    pub(crate) fn open_files(mut self, most: u32) -> Self {
        self.open_files = Some(most);
        self
    }

    /// Nothing that a quick test would run into.
    pub(crate) fn without_limits(self) -> Self {
        self.limit("failed_handshakes_per_second_per_address", 0)
            .limit("requests_per_second_per_session", 0)
            .limit("calls_per_workspace", 0)
            .limit("calls_per_second_per_workspace", 0)
    }

    pub(crate) fn embedded(self) -> Self {
        self.env("SAUTIKIT_MEDIA", "embedded").env("SAUTIKIT_MEDIA_BROWSER_PORT", "0")
    }

    pub(crate) fn command(&self) -> Command {
        let file = self.place.file("gateway.toml");
        let limits = format!("[limits]\n{}", self.limits);
        std::fs::write(&file, [&*self.trunks, &*self.rates, &*limits].concat()).unwrap();
        let mut command = self.place.command();
        command.args(["serve", "--config"]).arg(file).envs(self.env.iter().cloned());
        match self.open_files {
            Some(most) => with_open_files(most, &command),
            None => command,
        }
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(&self) -> Gateway {
        let mut child =
            self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::follow(child.stderr.take().unwrap());
        let is_ready = |line: &str| line.contains("ready http=") || line.contains("\"ready\"");
        let Some(ready) = log.wait_for(is_ready) else {
            let _ended_already = child.kill();
            let _ended = child.wait();
            panic!("the gateway did not get ready:\n{}", log.text());
        };
        let address = |name: &str| {
            // ` http=127.0.0.1:8080` of text, `"http":"127.0.0.1:8080"` of JSON.
            let text = ready.replace("\":\"", "=").replace([',', '"'], " ");
            let (_, rest) = text.split_once(&format!(" {name}=")).unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        Gateway {
            http: address("http"),
            ws: address("ws"),
            sip: address("sip"),
            admin: address("admin"),
            child,
            log,
            place: Arc::clone(&self.place),
        }
    }

    /// Starts what is not to start: exit code and lines.
    pub(crate) fn refused_start(&self) -> (i32, Vec<String>) {
        let mut child =
            self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::follow(child.stderr.take().unwrap());
        let status = wait(&mut child).unwrap_or_else(|| {
            child.kill().unwrap();
            panic!("it started all the same:\n{}", log.text());
        });
        log.wait_for(|_| false);
        let lines = log.lines.lock().unwrap().all.clone();
        (status.code().unwrap(), lines)
    }
}

/// The same command behind a shell that lowers its limit and becomes it.
fn with_open_files(most: u32, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n {most} && exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

impl Log {
    fn follow(pipe: impl std::io::Read + Send + 'static) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                writer.lines.lock().unwrap().all.push(line);
                writer.more.notify_all();
            }
            writer.lines.lock().unwrap().ended = true;
            writer.more.notify_all();
        });
        log
    }

    /// The first line that fits; none where the log ends without one, or in time.
    fn wait_for(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + 2 * PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.all.iter().find(|line| fits(line)) {
                return Some(line.clone());
            }
            let left = end.checked_duration_since(Instant::now())?;
            if lines.ended {
                return None;
            }
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().all.join("\n")
    }
}

/// The exit, where there is one in time.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let end = Instant::now() + 2 * PATIENCE;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Whether this thread's state, the first letter after its name in brackets, is `T` (proc(5)). One
/// that has ended meanwhile stands still too.
fn is_stopped(task: &Path) -> bool {
    let stat = std::fs::read_to_string(task.join("stat"));
    !stat.is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" T"))
}

impl Gateway {
    pub(crate) async fn api(&self, workspace: &Workspace, ask: Ask) -> Reply {
        ask.bearer(&workspace.key).send(self.http).await
    }

    pub(crate) async fn get(&self, workspace: &Workspace, path: &str) -> Value {
        self.api(workspace, Ask::get(path)).await.good()
    }

    /// A token as a page's backend gets it; `narrowing` may be null.
    pub(crate) async fn token(&self, workspace: &Workspace, narrowing: Value) -> String {
        let mut ask = Ask::post("/v1/sip/token");
        if !narrowing.is_null() {
            ask = ask.json(&narrowing);
        }
        let minted = self.api(workspace, ask).await.good();
        let token = minted["token"].as_str().unwrap().to_owned();
        self.place.keep_out_of_logs(&token);
        token
    }

    /// The call once it has ended, as the API shows it.
    pub(crate) async fn ended_call(&self, workspace: &Workspace, id: &str) -> Value {
        until("the end of the call's row", async || {
            let call = self.get(workspace, &format!("/v1/calls/{id}")).await;
            (!call["call"]["ended_at"].is_null()).then(|| call["call"].clone())
        })
        .await
    }

    /// All calls of a workspace once none is under way and there are `count`, newest first.
    pub(crate) async fn ended_calls(&self, workspace: &Workspace, count: usize) -> Vec<Value> {
        until("the end of all rows", async || {
            let list = self.get(workspace, "/v1/calls?limit=100").await;
            let calls = list["data"].as_array().unwrap();
            let ended = calls.iter().filter(|call| !call["ended_at"].is_null()).count();
            (ended == count && calls.len() == count).then(|| calls.clone())
        })
        .await
    }

    /// Waits until none of a workspace's calls is under way.
    pub(crate) async fn ended_calls_of_now(&self, workspace: &Workspace) {
        until("the end of what is under way", async || {
            let open = self.get(workspace, "/v1/calls?status=ringing,answered").await;
            let live = self.metric("sautikit_calls_live", "").await;
            (open["data"] == json!([]) && live == 0.0).then_some(())
        })
        .await;
    }

    /// Balance and what is held.
    pub(crate) async fn wallet(&self, workspace: &Workspace) -> (i64, i64) {
        let wallet = self.get(workspace, "/v1/wallet").await;
        let of = |name: &str| wallet[name].as_i64().unwrap();
        assert_eq!(of("available_minor"), of("balance_minor") - of("held_minor"));
        assert!(of("available_minor") >= 0, "{wallet}");
        (of("balance_minor"), of("held_minor"))
    }

    /// The sum of a metric over its labels, of those lines that have this text.
    pub(crate) async fn metric(&self, name: &str, with: &str) -> f64 {
        let reply = Ask::get("/metrics").send(self.admin).await;
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        text.lines()
            .filter(|line| line.starts_with(name) && line.contains(with))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Sends the process a signal: `-TERM`, `-INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Stops the process and waits until each of its threads stands still: the signal reaches one of
    /// them, and the others run on until that one had its turn.
    pub(crate) async fn freeze(&self) {
        self.signal("-STOP");
        let tasks = format!("/proc/{}/task", self.child.id());
        until("each thread to stand still", async || {
            let mut tasks = std::fs::read_dir(&tasks).unwrap();
            tasks.all(|task| is_stopped(&task.unwrap().path())).then_some(())
        })
        .await;
    }

    /// The exit code, once it has ended by itself.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = wait(&mut self.child).unwrap_or_else(|| panic!("it goes on:\n{}", self.log()));
        status.code().expect("it ended by itself")
    }

    /// As a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// All that it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// No token, key or whole phone number stands in the log.
    fn judge_log(&self) {
        let text = self.log.text();
        for secret in self.place.secrets.lock().unwrap().iter() {
            let found = text.lines().find(|line| line.contains(secret.as_str()));
            assert!(found.is_none(), "a secret is in the log: {}", found.unwrap());
        }
        for line in text.lines() {
            for (at, _) in line.match_indices(&OURS[1..5]) {
                let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
                assert!(digits != 12, "a phone number is in the log: {line}");
            }
        }
        assert!(!text.contains("panicked"), "something panicked:\n{text}");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended = self.child.wait();
        self.log.wait_for(|_| false);
        if std::thread::panicking() {
            let text = self.log.text();
            let last: Vec<_> = text.lines().rev().take(40).collect();
            eprintln!("the gateway's last lines, newest first:\n{}", last.join("\n"));
        } else {
            self.judge_log();
        }
    }
}
