//! Programs that are run to their end, within bounds.

use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a program that was started left behind.
#[derive(Debug)]
pub struct Ran {
    /// How it ended; none: it took too long and was ended, with everything it had started.
    pub status: Option<ExitStatus>,
    /// The beginning of its output.
    pub out: Vec<u8>,
    /// The beginning of its errors.
    pub err: Vec<u8>,
}

/// Runs a program without input, in a process group of its own, for so long at most. Of its output
/// and of its errors the first `output_max` bytes are kept each; the rest is read and let go.
///
/// # Errors
/// When it cannot be started or waited for.
pub async fn run_bounded(
    mut command: Command,
    most: Duration,
    output_max: usize,
) -> io::Result<Ran> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let finished = {
        let work = async {
            let (out, err) =
                (head(stdout, output_max, &mut out), head(stderr, output_max, &mut err));
            let (status, (), ()) = tokio::join!(child.wait(), out, err);
            status
        };
        tokio::time::timeout(most, work).await
    };
    let status = match finished {
        Ok(status) => Some(status?),
        Err(_) => {
            // Its leader is not waited for yet, so the number of the group still belongs to it.
            // That the group is gone already is fine.
            let _ = leader.map(|leader| kill_process_group(leader, Signal::KILL));
            child.wait().await?;
            None
        }
    };
    Ok(Ran { status, out, err })
}

/// Reads to the end and keeps the first part.
async fn head(stream: Option<impl AsyncRead + Unpin>, most: usize, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 8 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = most.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn what_it_said_is_kept_up_to_the_bound() {
        let ran =
            run_bounded(shell("echo 123456; echo no >&2; exit 3"), Duration::from_secs(30), 4);
        let ran = ran.await.unwrap();
        assert_eq!((ran.out.as_slice(), ran.err.as_slice()), (&b"1234"[..], &b"no\n"[..]));
        assert_eq!(ran.status.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn who_takes_too_long_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let ran = run_bounded(shell(&script), Duration::from_secs(2), 4).await.unwrap();
        assert!(ran.status.is_none());
        let child = std::fs::read_to_string(&file).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        for _ in 0..3_000 {
            // Gone, or ended and not waited for by whoever inherited it.
            let state = std::fs::read_to_string(&stat).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("its child still runs");
    }
}
