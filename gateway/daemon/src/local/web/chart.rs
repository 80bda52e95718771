//! Charts: bars as SVG, laid out in whole numbers. They need no script, no style of their own, and print as they are.
//!
//! The same stands beside them as a table, which is what a screen reader reads.

use model::Decimal;

/// The size of the drawing, in its own units; a browser scales it.
const WIDTH: i128 = 640;
const HEIGHT: i128 = 240;
/// The room for the labels below and the greatest value above.
const BELOW: i128 = 24;
const ABOVE: i128 = 20;
/// The most labels below; of more parts every second, third and so on has one.
const MOST_LABELS: usize = 13;

/// A bar.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    /// What stands below it.
    pub(super) label: String,
    /// What is told when it is pointed at.
    pub(super) title: String,
    /// How high it is; a gap, if it is not known.
    pub(super) value: Option<Decimal>,
    /// Whether something is missing there.
    pub(super) is_gap: bool,
}

/// Draws bars. `name` is the chart's name for a screen reader, `greatest` tells how much the highest bar is.
pub(super) fn draw(bars: &[Bar], name: &str, greatest: &str) -> String {
    let floor = HEIGHT.saturating_sub(BELOW);
    let room = floor.saturating_sub(ABOVE);
    let count = i128::try_from(bars.len().max(1)).unwrap_or(1);
    let slot = WIDTH.checked_div(count).unwrap_or(WIDTH);
    let heights = heights(bars, room);
    let every = bars.len().div_ceil(MOST_LABELS).max(1);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escaped(name)
    );
    let mut left = 0i128;
    for (place, (bar, height)) in bars.iter().zip(heights).enumerate() {
        let title = escaped(&bar.title);
        let x = left.saturating_add(1);
        let width = slot.saturating_sub(2).max(1);
        let (class, height) = match height {
            Some(height) => ("bar", height),
            None if bar.is_gap => ("gap", room),
            None => ("none", 0),
        };
        let top = floor.saturating_sub(height);
        svg.push_str(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"><title>{title}</title></rect>"
        ));
        if place.is_multiple_of(every) {
            let (middle, base) = (left.saturating_add(slot.div_euclid(2)), HEIGHT.saturating_sub(8));
            let label = escaped(&bar.label);
            svg.push_str(&format!(
                "<text x=\"{middle}\" y=\"{base}\" text-anchor=\"middle\">{label}</text>"
            ));
        }
        left = left.saturating_add(slot);
    }
    let greatest = escaped(greatest);
    svg.push_str(&format!(
            "<line class=\"axis\" x1=\"0\" y1=\"{floor}\" x2=\"{WIDTH}\" y2=\"{floor}\"/><text x=\"2\" y=\"16\">{greatest}</text></svg>"
    ));
    svg
}

/// Returns how high each bar is; the greatest value fills the room.
fn heights(bars: &[Bar], room: i128) -> Vec<Option<i128>> {
    let scaler = bars.iter().filter_map(|bar| bar.value).map(Decimal::scaler).min();
    let scaler = scaler.unwrap_or(0);
    let mantissa = |bar: &Bar| Some(bar.value?.rescaled(scaler)?.mantissa().max(0));
    let greatest = bars.iter().filter_map(mantissa).max().unwrap_or(0).max(1);
    let height = |bar: &Bar| {
        let mantissa = mantissa(bar)?;
        match mantissa.checked_mul(room) {
            Some(scaled) => scaled.checked_div(greatest),
            // Beyond 37 digits a coarser division is exact enough for a drawing.
            None => mantissa.checked_div(greatest.checked_div(room)?.max(1)),
        }
    };
    bars.iter()
        .map(|bar| height(bar).map(|height| height.min(room)))
        .collect()
}

/// Writes a text so that it is a text in SVG.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bar(value: Option<Decimal>) -> Bar {
        Bar {
            label: "1".to_owned(),
            title: "a <b> & \"c\"".to_owned(),
            value,
            is_gap: value.is_none(),
        }
    }

    #[test]
    fn bars_are_as_high_as_their_values_and_gaps_are_drawn_as_gaps() {
        let bars = ["1", "2.00", "0"].map(|text| bar(Some(text.parse().unwrap())));
        assert_eq!(heights(&bars, 100), [Some(50), Some(100), Some(0)]);
        let svg = draw(&[bar(None), bars[0].clone()], "name", "1 kWh");
        assert!(
            svg.contains("class=\"gap\"") && svg.contains("class=\"bar\""),
            "{svg}"
        );
        assert!(svg.contains("a &lt;b&gt; &amp; &quot;c&quot;"), "{svg}");
        assert!(!svg.contains("style="), "{svg}");
        assert!(draw(&[], "name", "").ends_with("</svg>"));
    }

    proptest! {
        #[test]
        fn no_bar_leaves_the_drawing(values in prop::collection::vec((any::<i128>(), -30i8..=30), 0..40)) {
            let bars: Vec<_> = values.into_iter().map(|(mantissa, scaler)| bar(Decimal::new(mantissa, scaler))).collect();
            for height in heights(&bars, 196).into_iter().flatten() {
                prop_assert!((0..=196).contains(&height));
            }
        }
    }
}
