//! Sources against real endpoints and the real machine, and the parser against tricky texts.

#[cfg(test)]
mod machine;
#[cfg(test)]
mod parser;
#[cfg(test)]
mod scrape;
