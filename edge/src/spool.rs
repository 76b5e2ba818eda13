//! Reports in a file, so that the end of the process loses none that the controller does not have.
//!
//! A line of JSON for each thing that happened, synced before it counts. The file is written anew,
//! under another name that then takes its place, when it is opened and when it has grown to several
//! times of what is needed. A line that was not written to its end is passed over.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use oag_cluster::protocol::Reading;
use oag_cluster::{KeptReport, KeptReports, Spool};
use serde::{Deserialize, Serialize};

/// Bytes that the file may have beside what is needed, before it is written anew.
const WASTE_BYTES_MAX: u64 = 256 << 10;
/// The longest file that is read, in bytes: more was not written by this program.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Keeps reports in a file that no other process may use meanwhile.
pub(crate) struct FileSpool {
    path: PathBuf,
    file: File,
    /// Bytes of the file.
    length: u64,
    needed: Needed,
}

/// What is needed of a file: where the numbers of reports are, and the lines of those that wait.
#[derive(Debug, Default)]
struct Needed {
    place: Place,
    reports: VecDeque<(u64, String)>,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Place {
    run: u64,
    last: u64,
    dropped: u64,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Place(Place),
    Report { run: u64, sequence: u64, samples: Vec<Reading> },
    Forget { up_to: u64, dropped: u64 },
}

impl FileSpool {
    /// Opens a file, or makes it, and reads what it has kept.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, KeptReports)> {
        let mut kept = KeptReports::default();
        match File::open(path) {
            Ok(file) => {
                lock(&file)?;
                let mut bytes = Vec::new();
                file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
                read(&bytes, &mut kept)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (run, last) = kept.last.unwrap_or_default();
        let mut needed =
            Needed { place: Place { run, last, dropped: kept.dropped }, reports: VecDeque::new() };
        for report in &kept.reports {
            needed.reports.push_back((report.sequence, line_of(report)));
        }
        let (file, length) = needed.write(path)?;
        Ok((Self { path: path.to_owned(), file, length, needed }, kept))
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.length += line.len() as u64;
        let needed: usize = self.needed.reports.iter().map(|(_, line)| line.len()).sum();
        if self.length > 2 * needed as u64 + WASTE_BYTES_MAX {
            (self.file, self.length) = self.needed.write(&self.path)?;
        }
        Ok(())
    }
}

impl Spool for FileSpool {
    fn keep(&mut self, report: &KeptReport) -> io::Result<()> {
        let KeptReport { run, sequence, .. } = *report;
        self.needed.place = Place { run, last: sequence, ..self.needed.place };
        let line = line_of(report);
        let kept = self.append(&line);
        self.needed.reports.push_back((sequence, line));
        kept
    }

    fn forget(&mut self, up_to: u64, dropped: u64) -> io::Result<()> {
        self.needed.place.dropped = dropped;
        self.needed.reports.retain(|(sequence, _)| *sequence > up_to);
        self.append(&json(&Line::Forget { up_to, dropped })?)
    }
}

impl Needed {
    /// Puts a file with this in the place of the one that is there, and keeps it locked.
    fn write(&self, path: &Path) -> io::Result<(File, u64)> {
        let temporary = path.with_added_extension("new");
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        lock(&file)?;
        let mut text = String::new();
        if self.place.run != 0 {
            text.push_str(&json(&Line::Place(self.place))?);
        }
        text.extend(self.reports.iter().map(|(_, line)| line.as_str()));
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok((file, text.len() as u64))
    }
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            io::Error::new(ErrorKind::ResourceBusy, "another process uses it")
        }
        TryLockError::Error(error) => error,
    })
}

fn json(line: &Line) -> io::Result<String> {
    Ok(serde_json::to_string(line)? + "\n")
}

/// The samples are JSON already.
fn line_of(report: &KeptReport) -> String {
    let KeptReport { run, sequence, text, .. } = report;
    format!("{{\"report\":{{\"run\":{run},\"sequence\":{sequence},\"samples\":{text}}}}}\n")
}

/// Goes through all lines but one that has no end.
fn read(bytes: &[u8], kept: &mut KeptReports) -> io::Result<()> {
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let line = serde_json::from_slice(line).map_err(|error| {
            let text = format!("line {} is none of a buffer of reports: {error}", number + 1);
            io::Error::new(ErrorKind::InvalidData, text)
        })?;
        match line {
            Line::Place(Place { run, last, dropped }) => {
                (kept.last, kept.dropped) = (Some((run, last)), dropped);
            }
            Line::Report { run, sequence, samples } => {
                kept.last = Some((run, sequence.max(kept.last.map_or(0, |(_, last)| last))));
                let text = serde_json::to_string(&samples)?.into();
                let samples = samples.len() as u64;
                kept.reports.push(KeptReport { run, sequence, samples, text });
            }
            Line::Forget { up_to, dropped } => {
                kept.reports.retain(|report| report.sequence > up_to);
                kept.dropped = dropped;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use oag_types::{Labels, Timestamp};

    use super::*;

    fn report(sequence: u64) -> KeptReport {
        report_of(sequence, 1)
    }

    fn report_of(sequence: u64, samples: usize) -> KeptReport {
        let sample = Reading {
            service: None,
            metric: "m".to_owned(),
            value: 0.5,
            at: Timestamp::from_millis(1_780_000_000_000),
            labels: Labels::new(),
        };
        let all = vec![sample; samples];
        let text = serde_json::to_string(&all).unwrap().into();
        KeptReport { run: 9, sequence, samples: samples as u64, text }
    }

    #[test]
    fn what_was_not_acknowledged_is_there_again_under_its_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports");
        let (mut spool, kept) = FileSpool::open(&path).unwrap();
        assert_eq!(kept, KeptReports::default());
        for sequence in 1..=5 {
            spool.keep(&report(sequence)).unwrap();
        }
        spool.forget(3, 7).unwrap();
        let busy = FileSpool::open(&path).err().unwrap();
        assert_eq!(busy.to_string(), "another process uses it");
        drop(spool);
        // The process ended in the middle of a line.
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(br#"{"report":{"run":9,"sequ"#).unwrap();
        drop(file);
        let (mut spool, kept) = FileSpool::open(&path).unwrap();
        let last = (Some((9, 5)), 7);
        assert_eq!(
            ((kept.last, kept.dropped), &kept.reports[..]),
            (last, &[report(4), report(5)][..])
        );
        spool.forget(5, 7).unwrap();
        drop(spool);
        let (_, kept) = FileSpool::open(&path).unwrap();
        assert_eq!((kept.last, kept.dropped, kept.reports), (Some((9, 5)), 7, Vec::new()));
    }

    #[test]
    fn the_file_does_not_grow_with_what_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports");
        let (mut spool, _) = FileSpool::open(&path).unwrap();
        let mut written = 0;
        for sequence in 1..=200 {
            let report = report_of(sequence, 40);
            written += report.text.len() as u64;
            spool.keep(&report).unwrap();
            spool.forget(sequence, 0).unwrap();
        }
        let length = fs::metadata(&path).unwrap().len();
        assert!(length <= WASTE_BYTES_MAX + 1_024 && length < written / 2, "{length}, {written}");
        assert!(FileSpool::open(&path).is_err(), "the new file is locked as the old one was");
        drop(spool);
        let (_, kept) = FileSpool::open(&path).unwrap();
        assert_eq!((kept.last, kept.reports.len()), (Some((9, 200)), 0));
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports");
        fs::write(&path, "dear diary\n").unwrap();
        let error = FileSpool::open(&path).err().unwrap();
        assert!(error.to_string().starts_with("line 1 is none"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary\n");
    }
}
