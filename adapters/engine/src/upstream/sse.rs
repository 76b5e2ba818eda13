//! The data of server-sent events, put together from the bytes of an answer (WHATWG HTML, 9.2).

/// Most bytes of one event; what is larger is no part of an answer.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// An event was larger than any part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Puts events together.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: String,
    has_data: bool,
    /// The last byte was a carriage return, which ends a line with or without the next.
    after_return: bool,
}

impl Events {
    /// Takes bytes; the answer is the data of the events they complete. Comments, names and ids
    /// are passed over.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLarge> {
        let mut done = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    done.extend(self.end_line());
                }
                _ => {
                    self.after_return = false;
                    self.line.push(*byte);
                }
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(TooLarge);
            }
        }
        Ok(done)
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let complete = std::mem::take(&mut self.has_data);
            return complete.then(|| std::mem::take(&mut self.data));
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        if field == "data" {
            if self.has_data {
                self.data.push('\n');
            }
            self.has_data = true;
            self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIRE: &str = ": ping\n\ndata: {\"a\":1}\r\n\r\nevent: x\rdata:二\rdata: 行\r\rdata: late";

    #[test]
    fn events_end_with_an_empty_line() {
        assert_eq!(Events::default().push(WIRE.as_bytes()).unwrap(), ["{\"a\":1}", "二\n行"]);
    }

    #[test]
    fn what_never_ends_is_refused() {
        let mut events = Events::default();
        let part = [b'x'; 1 << 16];
        let refused = (0..200).any(|_| events.push(&part).is_err());
        assert!(refused && events.line.len() <= EVENT_BYTES_MAX + 1);
    }

    proptest! {
        #[test]
        fn cutting_the_bytes_anywhere_changes_nothing(cuts in prop::collection::vec(0..60_usize, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(WIRE.len())).collect();
            cuts.extend([0, WIRE.len()]);
            cuts.sort_unstable();
            let mut events = Events::default();
            let mut found = Vec::new();
            for cut in cuts.windows(2) {
                found.extend(events.push(&WIRE.as_bytes()[cut[0]..cut[1]]).unwrap());
            }
            prop_assert_eq!(found, ["{\"a\":1}", "二\n行"]);
        }
    }
}
