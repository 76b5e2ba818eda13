//! A small server of canned answers, and a terminal that remembers.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use clap::{CommandFactory, Parser};
use oag_cli::{Local, Terminal, VerifyArgs};
use oag_runtime::FakeClock;
use serde_json::Value;

/// The whole command line, as the binary has it.
#[derive(Debug, Parser)]
#[command(name = "openautoglm")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: oag_cli::Command,
}

pub(crate) fn tree() -> clap::Command {
    Options::command()
}

/// An answer to a method and a path with its query.
#[derive(Debug, Clone)]
pub(crate) struct Canned {
    request: String,
    status: u16,
    media: &'static str,
    body: String,
}

pub(crate) fn ok(request: &str, body: Value) -> Canned {
    Canned {
        request: request.into(),
        status: 200,
        media: "application/json",
        body: body.to_string(),
    }
}

pub(crate) fn answer(request: &str, status: u16, media: &'static str, body: &str) -> Canned {
    Canned { request: request.into(), status, media, body: body.into() }
}

/// A problem as the API sends it.
pub(crate) fn problem(request: &str, status: u16, code: &str, title: &str, detail: &str) -> Canned {
    let body = serde_json::json!({
        "type": format!("/docs/errors/{code}"), "title": title, "status": status,
        "detail": detail, "code": code, "request_id": "req_1",
    });
    answer(request, status, "application/problem+json", &body.to_string())
}

/// What came in: request line, interesting headers and body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

/// A server that gives each answer once, the last one of a request again and again.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn with(answers: Vec<Canned>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut answers = answers;
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                serve(stream, &mut answers, &seen);
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Request lines with their bodies.
    pub(crate) fn sent(&self) -> String {
        let line = |request: Request| format!("{} {}", request.line, request.body);
        self.requests().into_iter().map(line).map(|l| l.trim_end().to_owned() + "\n").collect()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let connection = ["--url", &self.url, "--api-key", KEY];
        run(&[args, &connection].concat(), None, &self.url)
    }

    /// With a person who answers.
    pub(crate) fn run_answering(&self, args: &[&str], answer: &str) -> Ran {
        let connection = ["--url", &self.url, "--api-key", KEY];
        run(&[args, &connection].concat(), Some(answer), &self.url)
    }
}

/// Never to be seen in any output.
pub(crate) const KEY: &str = "oag_0123456789abcdef_sesame";

fn serve(stream: TcpStream, answers: &mut Vec<Canned>, seen: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        match header.trim_end() {
            "" => break,
            header => headers.push(header.to_owned()),
        }
    }
    let length = headers.iter().find_map(|h| h.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    seen.lock().unwrap().push(Request { line: line.clone(), headers, body });
    let found = answers.iter().position(|answer| answer.request == line);
    let answer = match found {
        Some(at) if answers.iter().filter(|a| a.request == line).count() > 1 => answers.remove(at),
        Some(at) => answers[at].clone(),
        None => problem(&line, 404, "OAG-1301", "Not found", &format!("nothing canned for {line}")),
    };
    let Canned { status, media, body, .. } = answer;
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    );
    let mut stream = reader.into_inner();
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Everything, for a snapshot.
    pub(crate) fn all(&self) -> String {
        let Self { code, out, err } = self;
        format!("exit {code}\n----- stdout\n{out}----- stderr\n{err}")
    }
}

struct NoLedger;

impl Local for NoLedger {
    fn verify_ledger(&self, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
        anyhow::bail!("no ledger in {}", args.data.display())
    }
}

#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs a command line. The address of the server reads `http://SERVER`.
pub(crate) fn run(args: &[&str], input: Option<&str>, url: &str) -> Ran {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (out, err) = (Memory::default(), Memory::default());
    let text = |memory: &Memory| {
        let text = String::from_utf8(memory.0.borrow().clone()).unwrap();
        assert!(!text.contains("sesame"), "the key was printed: {text}");
        if url.is_empty() { text } else { text.replace(url, "http://SERVER") }
    };
    let line = [&["openautoglm"], args].concat();
    let code = match Options::try_parse_from(line) {
        Err(error) => {
            err.clone().write_all(error.render().to_string().as_bytes()).unwrap();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap())
        }
        Ok(options) => {
            let clock = FakeClock::at("2026-11-21T08:00:00Z".parse().unwrap());
            let (o, e) = (Box::new(out.clone()), Box::new(err.clone()));
            let terminal = Terminal::new(o, e, input.map(str::to_owned), Arc::new(clock));
            oag_cli::run_on(options.command, &NoLedger, tree, &terminal)
        }
    };
    let number = (0..=255).find(|number| ExitCode::from(*number) == code).unwrap();
    Ran { code: number, out: text(&out), err: text(&err) }
}
