//! Starting QEMU and ending it: nothing outlives its [`Child`].

use super::qmp::Qmp;
use super::{LIMIT, Result, context};
use std::fs::{self, File};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Where QEMU's messages and event trace go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Messages to `qemu.log` of the run's directory, events to `trace.log`.
    Files,
    /// Both, line by line as they come, to [`Started::messages`].
    Lines,
}

/// A QEMU that runs.
pub struct Started {
    /// The serial line.
    pub console: UnixStream,
    /// The monitor.
    pub qmp: Qmp,
    /// What [`Output::Lines`] asked for.
    pub messages: Option<ChildStderr>,
    /// The process.
    pub child: Child,
}

/// Starts QEMU with these arguments; logs go to `dir`, which exists.
pub fn start(program: &Path, arguments: &[String], output: Output, dir: &Path) -> Result<Started> {
    // Sockets have a length limit, and checkouts may lie deep.
    let sockets = SocketDir::new(dir)?;
    let console = sockets.listen("console.sock")?;
    let monitor = sockets.listen("qmp.sock")?;
    let args = [arguments.to_vec(), plumbing(&sockets.path, output)].concat();
    let log = dir.join("qemu.log");
    let errors = match output {
        Output::Files => File::create(&log).map_err(context(log.display()))?.into(),
        Output::Lines => Stdio::piped(),
    };
    let line = format!("{} {}\n", program.display(), args.join(" "));
    let _ = fs::write(dir.join("command"), line);
    let process = Command::new(program)
        .args(&args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .map_err(context(program.display()))?;
    let mut child = Child {
        process,
        sockets,
        log: (output == Output::Files).then_some(log),
    };
    let console = child.accept("console.sock", console)?;
    let monitor = child.accept("qmp.sock", monitor)?;
    let mut qmp = Qmp::new(monitor).map_err(|e| child.said(&e))?;
    qmp.execute("cont", serde_json::json!({}))?;
    let messages = child.process.stderr.take();
    Ok(Started {
        console,
        qmp,
        messages,
        child,
    })
}

/// Where logs go and how we talk to it.
fn plumbing(dir: &Path, output: Output) -> Vec<String> {
    let shown = |name: &str| dir.join(name).display().to_string();
    let (trace, console, qmp) = (shown("trace.log"), shown("console.sock"), shown("qmp.sock"));
    let mut args = vec!["-msg", "timestamp=on"];
    if output == Output::Files {
        args.extend(["-D", &trace]);
    }
    let console = format!("socket,id=con,path={console}");
    let qmp = format!("unix:{qmp}");
    args.extend(["-chardev", &console, "-serial", "chardev:con"]);
    // The machine waits until we listen: a short run could end first.
    args.extend(["-qmp", &qmp, "-S"]);
    args.into_iter().map(str::to_string).collect()
}

/// A short-named directory for sockets, reached from the run's directory's
/// files through links; gone when dropped.
struct SocketDir {
    path: PathBuf,
}

impl SocketDir {
    fn new(run: &Path) -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stagegate-{}-{number}", std::process::id()));
        // Left by a process that was killed and had our number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).map_err(context(path.display()))?;
        let trace = run.join("trace.log");
        let trace = std::path::absolute(&trace).map_err(context(trace.display()))?;
        std::os::unix::fs::symlink(trace, path.join("trace.log")).map_err(context("trace.log"))?;
        Ok(Self { path })
    }

    fn listen(&self, name: &str) -> Result<UnixListener> {
        let path = self.path.join(name);
        UnixListener::bind(&path).map_err(context(path.display()))
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The process; ended when dropped.
pub struct Child {
    process: std::process::Child,
    sockets: SocketDir,
    log: Option<PathBuf>,
}

impl Child {
    /// Waits until QEMU connects; a QEMU that ends instead is reported with
    /// what it printed.
    fn accept(&mut self, name: &str, listener: UnixListener) -> Result<UnixStream> {
        let (sender, receiver) = channel();
        let waiter = thread::spawn(move || sender.send(listener.accept()));
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            match receiver.recv_timeout(Duration::from_millis(200)) {
                Ok(stream) => return stream.map(|(s, _)| s).map_err(context(name)),
                Err(_) if self.process.try_wait().is_ok_and(|s| s.is_some()) => break,
                Err(_) => {}
            }
        }
        // Ends the waiting thread.
        let _ = UnixStream::connect(self.sockets.path.join(name));
        let _ = waiter.join();
        Err(self.said("QEMU did not start"))
    }

    /// An error with what QEMU, which is then ended, printed.
    fn said(&mut self, error: &str) -> String {
        self.kill();
        let text = match (&self.log, self.process.stderr.take()) {
            (Some(log), _) => fs::read_to_string(log).unwrap_or_default(),
            (None, Some(pipe)) => std::io::read_to_string(pipe).unwrap_or_default(),
            (None, None) => String::new(),
        };
        format!("{error}: {}", text.trim())
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.process.wait().map_err(context("QEMU"))
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
