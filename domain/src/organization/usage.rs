//! What organizations use and spend (R69, R71, R79): the overview, and series for plots.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Date, Nullable, Numeric, Text, Timestamp, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use uuid::Uuid;

use crate::base::credit_rates::UsageKind;
use crate::base::error::{Error, Result};
use crate::base::id::{OrganizationId, ResourceId, TypedId, UserId};
use crate::base::limits;
use crate::base::run_kind::RunKind;
use crate::base::sql::statement;
use crate::base::text_enum::text_enum;
use crate::database::schema::{run_counts, run_limits};

text_enum! {
    /// What each point of a series covers, by UTC.
    UsageInterval {
        /// A day.
        Day = "day",
        /// A month.
        Month = "month",
    }
}

text_enum! {
    /// What a series is grouped by.
    UsageGroup {
        /// The kind of usage.
        Kind = "kind",
        /// The user who used it.
        Member = "member",
        /// The workspace in which it was used.
        Workspace = "workspace",
    }
}

/// A period: from a moment, and before another one. Without a moment, it is open on that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Period {
    /// Its beginning.
    pub since: Option<DateTime<Utc>>,
    /// Its end, which isn't part of it.
    pub until: Option<DateTime<Utc>>,
}

impl Period {
    fn require_forward(self) -> Result<()> {
        match (self.since, self.until) {
            (Some(since), Some(until)) if since >= until => {
                Err(Error::BadRequest("`since` must be before `until`".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// How the points of a series are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Series {
    /// What each point covers.
    pub interval: UsageInterval,
    /// What the points are grouped by.
    pub group: UsageGroup,
}

/// A question about an organization's usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UsageQuestion {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The period of what was used and spent.
    pub period: Period,
    /// A series of points, besides the overview. Its period must have both ends.
    pub series: Option<Series>,
}

/// The answer to a question about usage. Everything in it is of one moment.
#[derive(Debug, Clone)]
pub struct UsageAnswer {
    /// The overview.
    pub overview: Overview,
    /// The points of the series, in the order of time.
    pub points: Vec<UsagePoint>,
}

/// How many runs of a kind an organization has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = run_counts)]
pub struct RunCount {
    /// The kind.
    pub kind: RunKind,
    /// How many there have ever been.
    pub total: i64,
    /// How many wait.
    pub queued: i64,
    /// How many the platform is carrying out.
    pub running: i64,
}

/// What an organization uses at this moment, and what it used within a period.
#[derive(Debug, Clone)]
pub struct Overview {
    /// How many runs were queued within the period.
    pub runs: i64,
    /// The runs of each kind of which there have been any.
    pub run_counts: Vec<RunCount>,
    /// How many runs of each kind may be in progress at a time, for the kinds that have such a limit (R79).
    pub run_limits: Vec<(RunKind, i32)>,
    /// How many active members there are.
    pub users: i64,
    /// How many workspaces there are.
    pub workspaces: i64,
    /// How many bytes the resources take up.
    pub storage_bytes: Decimal,
    /// The credits that were ever bought.
    pub purchased: Decimal,
    /// The credits that are left. The number is negative if more was spent than bought.
    pub available: Decimal,
    /// The credits that were spent within the period.
    pub spent: Decimal,
}

impl Overview {
    /// How many runs of a kind, or of all kinds, count towards a limit.
    pub fn runs_under_way(&self, kind: Option<RunKind>) -> i64 {
        runs_under_way(&self.run_counts, kind)
    }

    /// How many runs of a kind, or of all kinds, the platform is carrying out.
    pub fn runs_running(&self, kind: Option<RunKind>) -> i64 {
        let counted = self.run_counts.iter().filter(|count| kind.is_none_or(|kind| kind == count.kind));
        counted.map(|count| count.running).sum()
    }
}

/// How many runs of a kind, or of all kinds, count towards a limit: those that wait, and those in progress.
pub(crate) fn runs_under_way(counts: &[RunCount], kind: Option<RunKind>) -> i64 {
    let counted = counts.iter().filter(|count| kind.is_none_or(|kind| kind == count.kind));
    counted.map(|count| count.queued + count.running).sum()
}

/// What a point of a series is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageKey {
    /// A kind of usage.
    Kind(UsageKind),
    /// A user.
    Member(UserId),
    /// A workspace, which may be gone.
    Workspace(ResourceId),
    /// Whatever names none, and those that the series has no points of their own for.
    Others,
}

/// What was used and spent in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsagePoint {
    /// The beginning of the interval.
    pub from: DateTime<Utc>,
    /// What the point is about.
    pub key: UsageKey,
    /// How much was used, if the point is about a kind of usage.
    pub quantity: Option<Decimal>,
    /// The credits that were spent.
    pub credits: Decimal,
}

/// Answers questions about usage. All answers are of one moment, so that they agree to the last digit.
///
/// # Errors
///
/// [`Error::BadRequest`] if a period ends before it begins, or has more intervals than a series may have points.
pub async fn answer(
    connection: &mut AsyncPgConnection,
    questions: &[UsageQuestion],
) -> Result<HashMap<UsageQuestion, UsageAnswer>> {
    for question in questions {
        question.period.require_forward()?;
    }
    let mut snapshot = connection.build_transaction().repeatable_read().read_only();
    snapshot
        .run(async |connection| {
            let mut answers = HashMap::new();
            for question in questions {
                let points = match question.series {
                    Some(series) => points(connection, question, series).await?,
                    None => Vec::new(),
                };
                answers.insert(*question, UsageAnswer { overview: overview(connection, question).await?, points });
            }
            Ok(answers)
        })
        .await
}

/// The first and the last day that are reckoned with.
const DAYS: (Option<NaiveDate>, Option<NaiveDate>) =
    (NaiveDate::from_ymd_opt(1970, 1, 1), NaiveDate::from_ymd_opt(9999, 12, 1));

/// A period in pieces: whole months, whole days, and what is left at its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pieces {
    months: Vec<(NaiveDate, NaiveDate)>,
    days: Vec<(NaiveDate, NaiveDate)>,
    rest: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Pieces {
    /// Cuts a period into pieces. For a series of days, there are no whole months.
    fn of(period: Period, longest: UsageInterval) -> Result<Self> {
        let (Some(first), Some(last)) = DAYS else { return Err(Error::Bug("these are days")) };
        // What lies before the first day or after the last is nothing.
        let within = |time: DateTime<Utc>| time.clamp(start_of(first), start_of(last));
        let since = within(period.since.unwrap_or_else(|| start_of(first)));
        let until = within(period.until.unwrap_or_else(|| start_of(last)));
        let (day_from, day_until) = (next_day(since), until.date_naive());
        if day_from >= day_until {
            return Ok(Self { months: Vec::new(), days: Vec::new(), rest: vec![(since, until)] });
        }
        let rest = vec![(since, start_of(day_from)), (start_of(day_until), until)];
        let (month_from, month_until) = (next_month(day_from), first_of_month(day_until));
        let (months, days) = match longest {
            UsageInterval::Month if month_from < month_until => {
                (vec![(month_from, month_until)], vec![(day_from, month_from), (month_until, day_until)])
            }
            UsageInterval::Month | UsageInterval::Day => (Vec::new(), vec![(day_from, day_until)]),
        };
        let is_any = |piece: &(NaiveDate, NaiveDate)| piece.0 < piece.1;
        Ok(Self {
            months,
            days: days.into_iter().filter(is_any).collect(),
            rest: rest.into_iter().filter(|(from, until)| from < until).collect(),
        })
    }

    fn spans(&self) -> (Vec<UsageInterval>, Vec<NaiveDate>, Vec<NaiveDate>) {
        let months = self.months.iter().map(|piece| (UsageInterval::Month, piece));
        let days = self.days.iter().map(|piece| (UsageInterval::Day, piece));
        let spans: Vec<_> = months.chain(days).map(|(span, (from, until))| (span, (*from, *until))).collect();
        let (starts, ends) = spans.iter().map(|(_, piece)| *piece).unzip();
        (spans.iter().map(|(span, _)| *span).collect(), starts, ends)
    }

    fn rest(&self) -> (Vec<DateTime<Utc>>, Vec<DateTime<Utc>>) {
        self.rest.iter().copied().unzip()
    }
}

fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// The first day that begins at or after a moment.
fn next_day(time: DateTime<Utc>) -> NaiveDate {
    let day = time.date_naive();
    if start_of(day) == time { day } else { day.checked_add_days(Days::new(1)).unwrap_or(day) }
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// The first of the month that begins on or after a day.
fn next_month(day: NaiveDate) -> NaiveDate {
    let first = first_of_month(day);
    if first == day { day } else { first.checked_add_months(Months::new(1)).unwrap_or(first) }
}

statement! {
    struct UsageOverview {
        organization_id: SqlUuid = OrganizationId,
        day_starts: Array<Date> = Vec<NaiveDate>,
        day_ends: Array<Date> = Vec<NaiveDate>,
        entry_starts: Array<Timestamptz> = Vec<DateTime<Utc>>,
        entry_ends: Array<Timestamptz> = Vec<DateTime<Utc>>,
    } = include_str!("usage_overview.sql")
}

async fn overview(connection: &mut AsyncPgConnection, question: &UsageQuestion) -> Result<Overview> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Numeric)]
        purchased: Decimal,
        #[diesel(sql_type = Numeric)]
        spent: Decimal,
        #[diesel(sql_type = Numeric)]
        storage_bytes: Decimal,
        #[diesel(sql_type = BigInt)]
        users: i64,
        #[diesel(sql_type = BigInt)]
        workspaces: i64,
        #[diesel(sql_type = BigInt)]
        runs: i64,
    }
    let UsageQuestion { organization_id, period, .. } = *question;
    let pieces = Pieces::of(period, UsageInterval::Day)?;
    let (day_starts, day_ends) = pieces.days.iter().copied().unzip();
    let (entry_starts, entry_ends) = pieces.rest();
    let asked = UsageOverview { organization_id, day_starts, day_ends, entry_starts, entry_ends };
    let row: Row = asked.query().get_result(connection).await?;
    let counts = run_counts::table
        .filter(run_counts::organization_id.eq(organization_id))
        .order(run_counts::kind)
        .select(RunCount::as_select())
        .load(connection)
        .await?;
    let limits = run_limits::table
        .filter(run_limits::organization_id.eq(organization_id))
        .order(run_limits::kind)
        .select((run_limits::kind, run_limits::run_limit))
        .load(connection)
        .await?;
    let spent = match (period.since, period.until) {
        (None, None) => row.spent,
        _ => {
            let pieces = Pieces::of(period, UsageInterval::Month)?;
            let parts = parts(connection, question, &pieces, UsageInterval::Month, UsageGroup::Kind, None).await?;
            parts.iter().map(|part| part.credits).sum()
        }
    };
    Ok(Overview {
        runs: row.runs,
        run_counts: counts,
        run_limits: limits,
        users: row.users,
        workspaces: row.workspaces,
        storage_bytes: row.storage_bytes,
        purchased: row.purchased,
        available: row.purchased - row.spent,
        spent,
    })
}

statement! {
    struct UsageParts<'a> {
        organization_id: SqlUuid = OrganizationId,
        interval: Text = UsageInterval,
        grouped_by: Text = UsageGroup,
        keys: Nullable<Array<Text>> = Option<&'a [String]>,
        spans: Array<Text> = Vec<UsageInterval>,
        span_starts: Array<Date> = Vec<NaiveDate>,
        span_ends: Array<Date> = Vec<NaiveDate>,
        entry_starts: Array<Timestamptz> = Vec<DateTime<Utc>>,
        entry_ends: Array<Timestamptz> = Vec<DateTime<Utc>>,
    } = include_str!("usage_parts.sql")
}

/// What was used in one interval, by one key.
#[derive(QueryableByName)]
struct UsagePart {
    #[diesel(sql_type = Timestamp)]
    starts: NaiveDateTime,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Nullable<Numeric>)]
    quantity: Option<Decimal>,
    #[diesel(sql_type = Numeric)]
    credits: Decimal,
}

async fn parts(
    connection: &mut AsyncPgConnection,
    question: &UsageQuestion,
    pieces: &Pieces,
    interval: UsageInterval,
    grouped_by: UsageGroup,
    keys: Option<&[String]>,
) -> Result<Vec<UsagePart>> {
    let (spans, span_starts, span_ends) = pieces.spans();
    let (entry_starts, entry_ends) = pieces.rest();
    let organization_id = question.organization_id;
    let asked = UsageParts {
        organization_id,
        interval,
        grouped_by,
        keys,
        spans,
        span_starts,
        span_ends,
        entry_starts,
        entry_ends,
    };
    Ok(asked.query().load(connection).await?)
}

statement! {
    struct UsageCells {
        organization_id: SqlUuid = OrganizationId,
        grouped_by: Text = UsageGroup,
        spans: Array<Text> = Vec<UsageInterval>,
        span_starts: Array<Date> = Vec<NaiveDate>,
        span_ends: Array<Date> = Vec<NaiveDate>,
        most: BigInt = i64,
    } = include_str!("usage_cells.sql")
}

statement! {
    struct UsageRanks {
        organization_id: SqlUuid = OrganizationId,
        grouped_by: Text = UsageGroup,
        since: Timestamp = NaiveDateTime,
        until: Timestamp = NaiveDateTime,
        most: BigInt = i64,
    } = include_str!("usage_ranks.sql")
}

/// The points of a series. If there are more than fit, those who spent the least share their points, so that the sum
/// stays exact.
async fn points(
    connection: &mut AsyncPgConnection,
    question: &UsageQuestion,
    series: Series,
) -> Result<Vec<UsagePoint>> {
    let Series { interval, group } = series;
    let (Some(since), Some(until)) = (question.period.since, question.period.until) else {
        return Err(Error::Bug("a series has a beginning and an end"));
    };
    let intervals = number_of_intervals(since, until, interval);
    if intervals > limits::MAX_USAGE_POINTS {
        return Err(Error::BadRequest(format!(
            "this period has {intervals} intervals; a series has at most {} points: take a shorter period, or MONTH",
            limits::MAX_USAGE_POINTS
        )));
    }
    let pieces = Pieces::of(question.period, interval)?;
    if are_few(connection, question, &pieces, group).await? {
        let parts = parts(connection, question, &pieces, interval, group, None).await?;
        if parts.len() as i64 <= limits::MAX_USAGE_POINTS {
            return Ok(parts.into_iter().map(|part| point(group, part)).collect());
        }
    }
    // One point of each interval is for the others.
    let most = (limits::MAX_USAGE_POINTS / intervals - 1).max(0);
    let (organization_id, grouped_by) = (question.organization_id, group);
    #[derive(QueryableByName)]
    struct Ranked {
        #[diesel(sql_type = Text)]
        key: String,
    }
    let ranks = UsageRanks { organization_id, grouped_by, since: since.naive_utc(), until: until.naive_utc(), most };
    let ranked: Vec<Ranked> = ranks.query().load(connection).await?;
    let keys: Vec<String> = ranked.into_iter().map(|ranked| ranked.key).collect();
    let of_keys = parts(connection, question, &pieces, interval, group, Some(&keys)).await?;
    let mut others: BTreeMap<NaiveDateTime, Decimal> = BTreeMap::new();
    for part in parts(connection, question, &pieces, interval, UsageGroup::Kind, None).await? {
        *others.entry(part.starts).or_default() += part.credits;
    }
    for part in &of_keys {
        *others.entry(part.starts).or_default() -= part.credits;
    }
    let mut points: Vec<UsagePoint> = of_keys.into_iter().map(|part| point(group, part)).collect();
    points.extend(others.into_iter().filter(|(_, credits)| !credits.is_zero()).map(|(starts, credits)| UsagePoint {
        from: starts.and_utc(),
        key: UsageKey::Others,
        quantity: None,
        credits,
    }));
    points.sort_by_key(|point| point.from);
    Ok(points)
}

/// Whether a series has few enough points to show all of them. It may be a few more, since what is left at the ends of
/// the period isn't counted.
async fn are_few(
    connection: &mut AsyncPgConnection,
    question: &UsageQuestion,
    pieces: &Pieces,
    grouped_by: UsageGroup,
) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Cells {
        #[diesel(sql_type = BigInt)]
        cells: i64,
    }
    let most = limits::MAX_USAGE_POINTS + 1;
    // For a series of months, the days at the ends aren't counted: they make up at most two months.
    let whole = match pieces.months.is_empty() {
        true => pieces.clone(),
        false => Pieces { days: Vec::new(), ..pieces.clone() },
    };
    let (spans, span_starts, span_ends) = whole.spans();
    let organization_id = question.organization_id;
    let cells = UsageCells { organization_id, grouped_by, spans, span_starts, span_ends, most };
    let cells: Cells = cells.query().get_result(connection).await?;
    Ok(cells.cells < most)
}

/// How many days or months a period touches.
fn number_of_intervals(since: DateTime<Utc>, until: DateTime<Utc>, interval: UsageInterval) -> i64 {
    // The end isn't part of the period.
    let last = (until - chrono::Duration::microseconds(1)).date_naive();
    let first = since.date_naive();
    match interval {
        UsageInterval::Day => (last - first).num_days() + 1,
        UsageInterval::Month => {
            let months = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
            months(last) - months(first) + 1
        }
    }
}

fn point(group: UsageGroup, part: UsagePart) -> UsagePoint {
    let id = || part.key.parse::<Uuid>().ok();
    let key = match group {
        UsageGroup::Kind => UsageKind::ALL.iter().find(|kind| kind.as_str() == part.key).copied().map(UsageKey::Kind),
        UsageGroup::Member => id().map(|id| UsageKey::Member(UserId::from_uuid(id))),
        UsageGroup::Workspace => id().map(|id| UsageKey::Workspace(ResourceId::from_uuid(id))),
    };
    UsagePoint {
        from: part.starts.and_utc(),
        key: key.unwrap_or(UsageKey::Others),
        quantity: part.quantity.filter(|_| group == UsageGroup::Kind),
        credits: part.credits,
    }
}

/// A whole number of bytes, as far as it fits.
pub fn whole(bytes: Decimal) -> i64 {
    bytes.to_i64().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn pieces(since: &str, until: &str, longest: UsageInterval) -> (Vec<String>, Vec<String>, Vec<String>) {
        let period = Period { since: Some(time(since)), until: Some(time(until)) };
        let Pieces { months, days, rest } = Pieces::of(period, longest).unwrap();
        let dates = |pieces: Vec<(NaiveDate, NaiveDate)>| {
            pieces.into_iter().map(|(from, until)| format!("{from} {until}")).collect()
        };
        let rest = rest.into_iter().map(|(from, until)| format!("{} {}", from.to_rfc3339(), until.to_rfc3339()));
        (dates(months), dates(days), rest.collect())
    }

    #[test]
    fn a_period_is_cut_into_months_days_and_the_rest() {
        let (months, days, rest) = pieces("2026-01-30T12:00:00Z", "2026-04-02T01:00:00Z", UsageInterval::Month);
        assert_eq!(months, ["2026-02-01 2026-04-01"]);
        assert_eq!(days, ["2026-01-31 2026-02-01", "2026-04-01 2026-04-02"]);
        assert_eq!(
            rest,
            [
                "2026-01-30T12:00:00+00:00 2026-01-31T00:00:00+00:00",
                "2026-04-02T00:00:00+00:00 2026-04-02T01:00:00+00:00"
            ]
        );
        let (months, days, _) = pieces("2026-01-30T12:00:00Z", "2026-04-02T01:00:00Z", UsageInterval::Day);
        assert_eq!((months.len(), days), (0, vec!["2026-01-31 2026-04-02".to_owned()]));
        let within = pieces("2026-01-30T12:00:00Z", "2026-01-31T11:00:00Z", UsageInterval::Month);
        assert_eq!(within, (vec![], vec![], vec!["2026-01-30T12:00:00+00:00 2026-01-31T11:00:00+00:00".to_owned()]));
        let whole = pieces("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", UsageInterval::Month);
        assert_eq!(whole, (vec!["2026-01-01 2026-02-01".to_owned()], vec![], vec![]));
    }

    #[test]
    fn intervals_are_counted_without_the_end() {
        let (since, until) = (time("2026-01-30T12:00:00Z"), time("2026-02-01T00:00:00Z"));
        assert_eq!(number_of_intervals(since, until, UsageInterval::Day), 2);
        assert_eq!(number_of_intervals(since, until, UsageInterval::Month), 1);
    }
}
