//! The program as people and supervisors meet it: its words, its exit codes, and one member's whole life.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate");
/// Where the ports of these tests begin.
const FIRST_PORT: u16 = 19_000;
/// Enough for a member, and for the three of `dev`, which are ten apart.
const BLOCK: u16 = 40;
/// As many as there is room for before the ports of the other tests.
const BLOCKS: u16 = 50;
/// What a start may take on a busy machine.
const START_MAX: Duration = Duration::from_secs(30);

fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    let theirs: Vec<_> = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")).collect();
    for (name, _) in theirs {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn quorate(arguments: &[&str]) -> Output {
    program(Path::new(QUORATE)).args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program writes UTF-8")
}

/// The first of [`BLOCK`] ports in a row that nobody listens on. They lie below those that the kernel hands out by
/// itself, and below those of the other tests: nobody gets one by chance before the program does.
fn free_ports() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % u32::from(BLOCKS)).expect("less than all blocks");
    let next = |_| FIRST_PORT + (begin + TRIED.fetch_add(1, Ordering::Relaxed)) % BLOCKS * BLOCK;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut bases = (0..BLOCKS).map(next);
    bases.find(|base| (*base..base + BLOCK).all(is_free)).expect("a block that nobody uses")
}

#[test]
fn called_etcd_it_tells_etcd_s_version_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let etcd = dir.path().join("etcd");
    symlink(QUORATE, &etcd).expect("a link");
    let told = program(&etcd).arg("--version").output().expect("the program runs");
    assert!(text(&told.stdout).starts_with("etcd Version: 3.7."), "{told:?}");
    assert!(told.status.success());
    let help = program(&etcd).arg("-h").output().expect("the program runs");
    assert!(text(&help.stdout).contains("\n  etcd [flags]\n"));
}

#[test]
fn a_setting_that_cannot_be_is_refused_before_anything_happens() {
    let refused = quorate(&["serve", "--election-timeout=100", "--heartbeat-interval=100"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        text(&refused.stderr),
        "--election-timeout[100ms] should be at least as 5 times as --heartbeat-interval[100ms]\n"
    );
    let shadowed = program(Path::new(QUORATE))
        .args(["serve", "--name=a"])
        .env("ETCD_NAME", "a")
        .output()
        .expect("the program runs");
    assert!(text(&shadowed.stderr).contains("is shadowed by corresponding command-line flag"), "{shadowed:?}");
    assert_eq!(shadowed.status.code(), Some(1));
}

/// One member on loopback; killed when it goes out of sight.
struct Member {
    child: Child,
    log: Vec<String>,
    lines: BufReader<std::process::ChildStderr>,
    client: u16,
    admin: u16,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Member {
    fn start(dir: &Path, extra: &[&str]) -> Self {
        let client = free_ports();
        let (peer, admin) = (client + 1, client + 2);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut child = program(Path::new(QUORATE))
            .arg("serve")
            .args(["--name=solo", &format!("--data-dir={}", dir.display())])
            .args([format!("--listen-client-urls={}", url(client)), format!("--advertise-client-urls={}", url(client))])
            .args([format!("--listen-peer-urls={}", url(peer)), format!("--initial-advertise-peer-urls={}", url(peer))])
            .arg(format!("--listen-admin-urls={}", url(admin)))
            .args(extra)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, log: Vec::new(), lines, client, admin }
    }

    /// Reads the log until a line has these words.
    fn says(&mut self, words: &str) -> &str {
        let began = Instant::now();
        loop {
            let mut line = String::new();
            let bytes = self.lines.read_line(&mut line).expect("a readable line");
            assert!(bytes > 0 && began.elapsed() < START_MAX, "never said {words:?}: {:#?}", self.log);
            self.log.push(line);
            if self.log.last().is_some_and(|line| line.contains(words)) {
                return self.log.last().expect("just pushed");
            }
        }
    }

    fn terminate(&mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is ours");
        (self.child.wait().expect("it is ours").code(), began.elapsed())
    }
}

#[test]
fn a_member_gets_ready_tells_its_status_and_ends_when_asked() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let mut member = Member::start(&data, &["--max-wals=9"]);
    let note = member.says("without a meaning here").to_owned();
    assert!(note.contains("--max-wals"), "{note}");
    let ready = member.says("ready to serve client requests");
    assert!(
        ready.starts_with(r#"{"level":"info","ts":""#) && ready.contains(r#""caller":"serve/ready.rs:"#),
        "{ready}"
    );

    let admin = format!("--endpoints=http://127.0.0.1:{}", member.admin);
    let status = quorate(&["status", &admin]);
    assert!(text(&status.stdout).contains("\nsolo    leader"), "{status:?}");
    assert!(status.status.success());
    let json: serde_json::Value =
        serde_json::from_slice(&quorate(&["status", &admin, "-w", "json"]).stdout).expect("the status is JSON");
    assert_eq!(json["members"][0]["status"]["role"], "leader");
    assert_eq!(json["replication"]["followers"], serde_json::json!([]));

    let second = quorate(&[
        "serve",
        "--name=solo",
        &format!("--data-dir={}", data.display()),
        "--listen-admin-urls=",
        "--listen-client-urls=http://127.0.0.1:0",
    ]);
    assert!(!second.status.success(), "port 0 cannot be advertised");

    let (code, took) = member.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_millis(1500), "{took:?}");
    let dump = quorate(&["dump-log", data.to_str().expect("a plain path")]);
    assert!(text(&dump.stdout).contains(" noop "), "{dump:?}");
    assert!(TcpListener::bind(("127.0.0.1", member.client)).is_ok(), "its port is free again");
}

#[test]
fn a_data_directory_in_use_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let mut first = Member::start(&data, &[]);
    first.says("ready to serve client requests");
    let mut second = Member::start(&data, &[]);
    let refusal = second.says("could not start");
    assert!(refusal.contains("is in use by another process"), "{refusal}");
    assert_eq!(second.child.wait().expect("it is ours").code(), Some(1));
}

#[test]
fn dev_shows_a_cluster_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let base = free_ports().to_string();
    let arguments = [
        "dev",
        "--members=3",
        "--clients=2",
        "--base-port",
        &base,
        "--dir",
        dir.path().to_str().expect("a plain path"),
    ];
    let mut dev =
        program(Path::new(QUORATE)).args(arguments).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(dev.stdout.take().expect("it is piped")).lines();
    let mut told = Vec::new();
    let began = Instant::now();
    // Nobody looks at a terminal here, and yet there are tables.
    let settled = |told: &[String]| {
        let table = told.rsplit(|line| line.starts_with("MEMBER ")).next().unwrap_or_default();
        let with = |word: &str| table.iter().filter(|line| line.contains(word)).count();
        with(" leader ") == 1 && with(" follower ") == 2 && with("  replicate") == 2 && with("load: ") == 1
    };
    while !settled(&told) {
        assert!(began.elapsed() < START_MAX, "{told:#?}");
        told.push(lines.next().expect("it runs on").expect("a readable line"));
    }
    let starts = |words: &str| told.iter().any(|line| line.starts_with(words));
    assert!(starts(&format!("data:      {}", dir.path().display())), "{told:#?}");
    assert!(starts("endpoints: http://127.0.0.1:"), "{told:#?}");
    let pid = rustix::process::Pid::from_child(&dev);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is ours");
    assert!(dev.wait().expect("it is ours").success());
    for member in 0..3 {
        let client = base.parse::<u16>().expect("made from one") + member * 10;
        assert!(TcpListener::bind(("127.0.0.1", client)).is_ok(), "m{} is still there", member + 1);
    }
}
