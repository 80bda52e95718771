//! Answers to questions: pages of readings, and the latest one of each element.

use std::collections::{BTreeMap, BTreeSet};

use model::{Element, ElementPattern, Gap, Period, Timestamp};
use rusqlite::{OptionalExtension, Row};

use super::day::{self, Known};
use super::keys::{Day, part_and_element, round_key, time_of_round};
use super::point::{Kind, Point};
use super::points::{self, CHUNKS, ROUNDS, content};
use super::{Damaged, DatabaseError, Inner, Latest, Page, chunk, part};

/// Up to so many elements are looked up one by one; for more, a day's chunks are read in a row.
const LOOKUPS: usize = 16;

/// How much a page holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageSize {
    /// The number of points behind which a page ends, with that day or with that time.
    pub(super) limit: usize,
    /// How many more it may have if it ends with the day then, so that no day is read for two pages.
    pub(super) surplus: usize,
}

impl PageSize {
    /// Some 3 MB in memory, and a day of 250 elements at quarter hours.
    pub(super) const USUAL: Self = Self {
        limit: 8_192,
        surplus: 16_384,
    };
}

impl Inner {
    /// Collects a page; it ends with the day that brings it to its limit, or, if that is too much, behind the
    /// time that does.
    pub(super) fn page(
        &self,
        elements: &ElementPattern,
        period: Period,
        size: PageSize,
    ) -> Result<Page, DatabaseError> {
        let wanted = self.elements.matching(elements);
        let mut collector = Collector::new(period, size);
        let mut from = Day::of(period.from().unix_seconds());
        // Each round of the loop is a day further on, and the period has an end.
        while let Some(day) = points::next_day(&self.connection, from)? {
            if day.start() >= collector.end {
                break;
            }
            self.collect_chunks(day, &wanted, &mut collector)?;
            self.collect_rounds(day, &wanted, &mut collector)?;
            from = day.next();
            if collector.is_full() {
                collector.end_with(from);
                break;
            }
        }
        self.collect_derived(elements, &mut collector)?;
        Ok(collector.finish(|id| self.elements.name(id).or_else(|| self.evaluations.name(id))))
    }

    fn collect_chunks(
        &self,
        day: Day,
        wanted: &BTreeMap<u32, &Element>,
        collector: &mut Collector,
    ) -> rusqlite::Result<()> {
        let parts = points::chunk_parts(&self.connection, day)?;
        let mut found = BTreeSet::new();
        for part in &parts {
            if wanted.len() <= LOOKUPS && self.elements.is_whole() {
                let mut statement = self
                    .connection
                    .prepare_cached("SELECT key, content FROM chunk WHERE key = ?1")?;
                for id in wanted.keys() {
                    let add = |row: &Row<'_>| self.add_chunk(row, wanted, collector);
                    found.extend(statement.query_row([day.chunk(*part, *id)], add).optional()?);
                }
                continue;
            }
            let keys = day.chunk_part(*part);
            let mut statement = self.connection.prepare_cached(CHUNKS)?;
            let mut rows = statement.query([keys.start, keys.end])?;
            while let Some(row) = rows.next()? {
                found.insert(self.add_chunk(row, wanted, collector)?);
            }
        }
        self.collect_missing(day, wanted, &found, !parts.is_empty(), collector)
    }

    /// Reports the chunks that are wanted and listed, but were not found; and a day whose list is lost.
    fn collect_missing(
        &self,
        day: Day,
        wanted: &BTreeMap<u32, &Element>,
        found: &BTreeSet<(u8, u32)>,
        has_chunks: bool,
        collector: &mut Collector,
    ) -> rusqlite::Result<()> {
        let record = match day::load(&self.connection, day)? {
            Known::Nothing if !has_chunks => return Ok(()),
            Known::Nothing | Known::Damaged => {
                collector.add_damaged(None, day.period());
                return Ok(());
            }
            Known::Listed(record) => record,
        };
        if !record.is_complete {
            collector.add_damaged(None, day.period());
        }
        for (_, id) in record.chunks().filter(|chunk| !found.contains(chunk)) {
            match (wanted.get(&id), self.elements.name(id)) {
                (Some(element), _) => collector.add_damaged(Some(element), day.period()),
                (None, None) => collector.add_damaged(None, day.period()),
                (None, Some(_)) => {}
            }
        }
        Ok(())
    }

    /// Adds the points of a chunk that is wanted, or whose element is not known, and returns its part and element.
    fn add_chunk(
        &self,
        row: &Row<'_>,
        wanted: &BTreeMap<u32, &Element>,
        collector: &mut Collector,
    ) -> rusqlite::Result<(u8, u32)> {
        let key = row.get(0)?;
        let (part, id) = part_and_element(key);
        let element = wanted.get(&id).copied();
        if element.is_none() && self.elements.name(id).is_some() {
            return Ok((part, id));
        }
        let bytes = content(row)?;
        match element.and_then(|element| chunk::read(key, element, bytes)) {
            Some(points) => points.into_iter().for_each(|point| collector.add(point)),
            None => collector.add_damaged(element, Day::of_chunk(key).period()),
        }
        Ok((part, id))
    }

    fn collect_rounds(
        &self,
        day: Day,
        wanted: &BTreeMap<u32, &Element>,
        collector: &mut Collector,
    ) -> rusqlite::Result<()> {
        let from = day.rounds().start.max(round_key(collector.from, 0));
        let mut statement = self.connection.prepare_cached(ROUNDS)?;
        let mut rows = statement.query([from, day.rounds().end])?;
        while let Some(row) = rows.next()? {
            let key = row.get(0)?;
            let time = time_of_round(key);
            if time >= collector.end {
                break;
            }
            let Some(points) = part::read(key, content(row)?) else {
                collector.add_damaged(None, second(time));
                continue;
            };
            for mut point in points {
                if !wanted.contains_key(&point.element) {
                    if self.elements.name(point.element).is_some() {
                        continue;
                    }
                    point.kind = Kind::Lost;
                }
                collector.add(point);
            }
        }
        Ok(())
    }

    pub(super) fn latest(&self) -> Result<Latest, DatabaseError> {
        let mut times: BTreeMap<Timestamp, BTreeSet<u32>> = BTreeMap::new();
        for (id, time) in &self.latest {
            times.entry(*time).or_default().insert(*id);
        }
        let mut found = BTreeMap::new();
        for (time, ids) in times {
            let points = points::at(&self.connection, &self.elements, time.unix_seconds(), &ids)?;
            found.extend(points);
        }
        let mut latest = Latest::default();
        for (element, id) in self.elements.ids() {
            let Some(time) = self.latest.get(&id) else {
                continue;
            };
            match found.get(&id).and_then(|point| point.reading(element)) {
                Some(reading) => latest.readings.push(reading),
                None => latest
                    .damaged
                    .extend(second(time.unix_seconds()).map(|period| Damaged {
                        element: Some(element.clone()),
                        period,
                    })),
            }
        }
        Ok(latest)
    }
}

/// Returns the period of one second.
fn second(time: i64) -> Option<Period> {
    let from = Timestamp::from_unix_seconds(time).ok()?;
    let to = Timestamp::from_unix_seconds(time.checked_add(1)?).ok()?;
    Period::new(from, to).ok()
}

/// Points on their way into a page. Whatever comes in, at most the limit, a surplus and one time's points are
/// held.
pub(super) struct Collector {
    period: Period,
    from: i64,
    /// The page ends before this time; what is earlier is complete.
    end: i64,
    size: PageSize,
    points: Vec<Point>,
    damaged: Vec<Damaged>,
}

impl Collector {
    fn new(period: Period, size: PageSize) -> Self {
        Self {
            period,
            from: period.from().unix_seconds(),
            end: period.to().unix_seconds(),
            size,
            points: Vec::new(),
            damaged: Vec::new(),
        }
    }

    /// Returns the time before which nothing is wanted.
    pub(super) const fn start(&self) -> i64 {
        self.from
    }

    /// Returns the time from which on nothing more finds room.
    pub(super) const fn end(&self) -> i64 {
        self.end
    }

    pub(super) fn add(&mut self, point: Point) {
        if point.time < self.from || point.time >= self.end {
            return;
        }
        self.points.push(point);
        if self.points.len() > self.size.limit.saturating_add(self.size.surplus) {
            self.order();
            self.cut();
        }
    }

    pub(super) fn add_damaged(&mut self, element: Option<&Element>, period: Option<Period>) {
        self.damaged.extend(period.map(|period| Damaged {
            element: element.cloned(),
            period,
        }));
    }

    /// Orders the points, and keeps the one of several that counts.
    fn order(&mut self) {
        // The sort is stable: of two that count the same, the one that came first stays.
        self.points
            .sort_by_key(|point| (point.time, point.element, point.kind.rank()));
        self.points.dedup_by_key(|point| (point.time, point.element));
    }

    /// Ends the page behind the time that brings it to the limit.
    fn cut(&mut self) {
        let last = self.size.limit.checked_sub(1);
        if let Some(last) = last.and_then(|last| self.points.get(last)) {
            self.end = last.time.saturating_add(1).min(self.end);
            let kept = self.points.partition_point(|point| point.time < self.end);
            self.points.truncate(kept);
        }
    }

    const fn is_full(&self) -> bool {
        self.points.len() >= self.size.limit
    }

    /// Ends the page before a day, all days before which were collected.
    fn end_with(&mut self, day: Day) {
        self.end = self.end.min(day.start());
    }

    fn finish<'a>(mut self, name: impl Fn(u32) -> Option<&'a Element>) -> Page {
        self.order();
        let end = Timestamp::from_unix_seconds(self.end).unwrap_or_else(|_| self.period.to());
        let gaps = self
            .points
            .iter()
            .filter(|point| matches!(point.kind, Kind::Gap(_)))
            .count();
        let mut page = Page {
            readings: Vec::with_capacity(self.points.len().saturating_sub(gaps)),
            gaps: Vec::with_capacity(gaps),
            damaged: Vec::new(),
            rest: Period::new(end, self.period.to()).ok(),
        };
        let period = Period::new(self.period.from(), end).unwrap_or(self.period);
        for damaged in &self.damaged {
            let part = intersection(damaged.period, period);
            page.damaged.extend(part.map(|period| Damaged {
                element: damaged.element.clone(),
                period,
            }));
        }
        for point in self.points {
            add_to(&mut page, point, name(point.element));
        }
        page
    }
}

/// Puts a point where it belongs in a page.
fn add_to(page: &mut Page, point: Point, element: Option<&Element>) {
    let Some(time) = point.timestamp() else { return };
    match (element, point.kind) {
        (Some(element), Kind::Gap(reason)) => page.gaps.push(Gap {
            element: element.clone(),
            time,
            reason,
        }),
        (Some(element), Kind::Value { .. }) => page.readings.extend(point.reading(element)),
        (element, _) => page.damaged.extend(second(point.time).map(|period| Damaged {
            element: element.cloned(),
            period,
        })),
    }
}

fn intersection(one: Period, two: Period) -> Option<Period> {
    Period::new(one.from().max(two.from()), one.to().min(two.to())).ok()
}
