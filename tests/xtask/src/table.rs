//! What a person sees: a table that is redrawn in place on a terminal, lines elsewhere.

use std::io::{IsTerminal, Write};

use crate::received::{Latest, Place, Received};

/// Stops the terminal from breaking long lines, since the table is redrawn by counting lines.
const NO_WRAP: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";
/// Clears from the cursor to the end of the screen.
const CLEAR_BELOW: &str = "\u{1b}[J";

/// The screen that progress and values are shown on.
pub(crate) struct Screen {
    out: Box<dyn Write>,
    in_place: bool,
    drawn_lines: usize,
}

impl Screen {
    /// Shows on standard output, or on standard error if the output is for a summary.
    pub(crate) fn new(output_is_for_summary: bool) -> Self {
        let (out, in_place): (Box<dyn Write>, bool) = if output_is_for_summary {
            (Box::new(std::io::stderr()), false)
        } else {
            (Box::new(std::io::stdout()), std::io::stdout().is_terminal())
        };
        Self {
            out,
            in_place,
            drawn_lines: 0,
        }
    }

    /// Says a sentence; a table that stands there stays above it.
    ///
    /// # Errors
    ///
    /// The output is gone.
    pub(crate) fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.drawn_lines = 0;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Shows the table anew, or the new values as lines where nothing can be redrawn.
    ///
    /// # Errors
    ///
    /// The output is gone.
    pub(crate) fn show(&mut self, received: &Received, new: &[(Place, Latest)]) -> std::io::Result<()> {
        if !self.in_place {
            for (place, latest) in new {
                writeln!(self.out, "{}", row(place, latest))?;
            }
            return self.out.flush();
        }
        let mut text = String::from(NO_WRAP);
        if self.drawn_lines > 0 {
            text.push_str(&format!("\u{1b}[{}A\r{CLEAR_BELOW}", self.drawn_lines));
        }
        let lines = table(received);
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(WRAP);
        self.drawn_lines = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// Returns the lines of the table: a head and one row per element.
fn table(received: &Received) -> Vec<String> {
    let head = line(["medium", "meter", "OBIS", "value", "unit", "time"]);
    let rows = received
        .elements()
        .iter()
        .map(|(place, latest)| row(place, latest));
    std::iter::once(head).chain(rows).collect()
}

fn row(place: &Place, latest: &Latest) -> String {
    line([
        &place.medium,
        &place.meter,
        &place.obis,
        &latest.value,
        &latest.unit,
        &latest.time.to_string(),
    ])
}

fn line([medium, meter, obis, value, unit, time]: [&str; 6]) -> String {
    format!("{medium:<12} {meter:<22} {obis:<18} {value:>16} {unit:<6} {time}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use system::{Pull, PullSeries};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn screen(paper: &Paper, in_place: bool) -> Screen {
        Screen {
            out: Box::new(paper.clone()),
            in_place,
            drawn_lines: 0,
        }
    }

    fn pull(value: &str, start: &str) -> Pull {
        Pull {
            guid: "fd5a::1".into(),
            message: "00".into(),
            series: vec![PullSeries {
                meter: "ELS-1".into(),
                obis: "7-0:3.0.0*255".into(),
                medium: "gas".into(),
                unit: "m3".into(),
                start: start.into(),
                step: "PT5S".into(),
                values: vec![Some(value.into())],
            }],
            refusals: Vec::new(),
        }
    }

    #[test]
    fn terminal_sees_one_table_that_is_redrawn() {
        let paper = Paper::default();
        let mut screen = screen(&paper, true);
        let mut received = Received::default();
        for (value, start) in [("1.00", "2026-11-23T12:00:00Z"), ("1.01", "2026-11-23T12:00:05Z")] {
            let new = received.take(&pull(value, start)).unwrap();
            screen.show(&received, &new).unwrap();
        }
        let text = paper.text();
        assert_eq!(text.matches("\u{1b}[2A\r\u{1b}[J").count(), 1);
        assert!(
            text.ends_with("m3     2026-11-23T12:00:05Z\n\u{1b}[?7h"),
            "{text:?}"
        );
    }

    #[test]
    fn sentence_stands_below_the_table() {
        let paper = Paper::default();
        let mut screen = screen(&paper, true);
        let received = Received::default();
        screen.show(&received, &[]).unwrap();
        screen.say("refused").unwrap();
        screen.show(&received, &[]).unwrap();
        assert!(!paper.text().contains("\u{1b}[1A"));
    }

    #[test]
    fn pipe_sees_every_value_once_and_no_escapes() {
        let paper = Paper::default();
        let mut screen = screen(&paper, false);
        let mut received = Received::default();
        let once = pull("1.00", "2026-11-23T12:00:00Z");
        for _ in 0..2 {
            let new = received.take(&once).unwrap();
            screen.show(&received, &new).unwrap();
        }
        let text = paper.text();
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with("gas ") && text.contains(" 1.00 m3 ") && !text.contains('\u{1b}'));
    }
}
