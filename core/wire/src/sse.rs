//! Server-sent events, put together from the bytes of an answer (WHATWG HTML, 9.2).

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its name; empty when it has none.
    pub name: String,
    /// Its data; lines are parted by a line feed.
    pub data: String,
}

/// An event was larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// Puts events together.
#[derive(Debug)]
pub struct Events {
    bytes_max: usize,
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was a carriage return, which ends a line with or without the next.
    after_return: bool,
}

impl Events {
    /// For events of at most so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let (line, event) = (Vec::new(), Event::default());
        Self { bytes_max, line, event, has_data: false, after_return: false }
    }

    /// Takes bytes; the answer is the events they complete. Comments, ids and events without data
    /// are passed over.
    ///
    /// # Errors
    /// When an event is too large; nothing more can be read then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
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
            if self.line.len() + self.event.data.len() > self.bytes_max {
                return Err(TooLarge);
            }
        }
        Ok(done)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES_MAX: usize = 1 << 20;
    const WIRE: &str = "id: 4\n: ping\n\ndata: {\"a\":1}\r\n\r\nevent: bookmark\r\ndata: x\r\n\
                        data: y\r\n\r\nevent: x\rdata:二\rdata: 行\r\rdata: late";

    fn expected() -> [Event; 3] {
        let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
        [event("", "{\"a\":1}"), event("bookmark", "x\ny"), event("x", "二\n行")]
    }

    #[test]
    fn events_are_put_together_from_any_chunks() {
        for size in [1, 3, WIRE.len()] {
            let mut events = Events::new(BYTES_MAX);
            let chunks = WIRE.as_bytes().chunks(size);
            let found: Vec<Event> = chunks.flat_map(|chunk| events.push(chunk).unwrap()).collect();
            assert_eq!(found, expected(), "{size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        assert!(Events::new(BYTES_MAX).push(&vec![b'x'; BYTES_MAX + 1]).is_err());
        let mut events = Events::new(BYTES_MAX);
        let part = [b'x'; 1 << 16];
        let refused = (0..200).any(|_| events.push(&part).is_err());
        assert!(refused && events.line.len() <= BYTES_MAX + 1);
    }

    proptest! {
        #[test]
        fn cutting_the_bytes_anywhere_changes_nothing(cuts in prop::collection::vec(0..120_usize, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(WIRE.len())).collect();
            cuts.extend([0, WIRE.len()]);
            cuts.sort_unstable();
            let mut events = Events::new(BYTES_MAX);
            let mut found = Vec::new();
            for cut in cuts.windows(2) {
                found.extend(events.push(&WIRE.as_bytes()[cut[0]..cut[1]]).unwrap());
            }
            prop_assert_eq!(found, expected());
        }
    }
}
