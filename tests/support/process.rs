//! A program under test: what it prints is gathered line by line, and it ends with its test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::Notify;

use super::within;

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    output: Arc<Output>,
    on_drop: &'static str,
}

/// A program that ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed, standard output and error in the order of their arrival.
    pub lines: Vec<String>,
}

#[derive(Debug, Default)]
struct Output {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended_streams: usize,
}

impl Process {
    /// Starts `command`. When the value is dropped, the program gets the signal `on_drop` and is waited for.
    pub fn start(name: &'static str, command: &mut Command, on_drop: &'static str) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = Arc::new(Output::default());
        gather(child.stdout.take().unwrap(), Arc::clone(&output));
        gather(child.stderr.take().unwrap(), Arc::clone(&output));
        Self { name, child, output, on_drop }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.output.state.lock().unwrap().lines.clone()
    }

    /// Waits until `pick` finds something in the lines printed so far, and returns it; `None` if the program
    /// ended without it.
    pub async fn find<T>(&self, what: &str, mut pick: impl FnMut(&[String]) -> Option<T>) -> Option<T> {
        within(&format!("{what} from {}", self.name), async {
            loop {
                let mut changed = std::pin::pin!(self.output.changed.notified());
                // Registered before the look, so that a line in between is not missed.
                changed.as_mut().enable();
                {
                    let state = self.output.state.lock().unwrap();
                    let found = pick(&state.lines);
                    if found.is_some() || state.ended_streams == 2 {
                        return found;
                    }
                }
                changed.await;
            }
        })
        .await
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, signal: &str) {
        // The standard library can only kill.
        let status = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "no signal {signal} to {}", self.name);
    }

    /// Stops the program where it stands, and returns once it does.
    pub async fn freeze(&self) {
        self.signal("STOP");
        within(&format!("{} to stand still", self.name), async {
            loop {
                let pid = self.child.id().to_string();
                let state = Command::new("ps").args(["-o", "state=", "-p", &pid]).output().unwrap().stdout;
                if state.trim_ascii().starts_with(b"T") {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits for the end of the program, which somebody else must bring about.
    pub async fn finish(mut self) -> Finished {
        self.find("the end", |_| None::<()>).await;
        let status = self.child.wait().unwrap();
        Finished { status, lines: self.lines() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if self.on_drop == "KILL" {
                self.child.kill().ok();
            } else {
                self.signal(self.on_drop);
            }
            self.child.wait().ok();
        }
        if thread::panicking() {
            eprintln!("---- what {} printed ----", self.name);
            for line in self.lines() {
                eprintln!("{line}");
            }
        }
    }
}

fn gather(stream: impl Read + Send + 'static, output: Arc<Output>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            output.state.lock().unwrap().lines.push(text);
            output.changed.notify_waiters();
            line.clear();
        }
        output.state.lock().unwrap().ended_streams += 1;
        output.changed.notify_waiters();
    });
}
