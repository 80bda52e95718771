//! The local page: state, meters, last values and their ages. Rendered here, no script, no network.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use model::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::headers::asked_host;
use super::metrics;
use crate::clock;
use crate::local::{blocking, server};
use crate::metering::MeterView;
use crate::status::{Status, StatusSource};

/// What a browser may load: our own style sheet, nothing else.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("../../../templates/style.css");

/// The page as the template sees it.
#[derive(Template)]
#[template(path = "status.html")]
struct Page {
    status: Status,
    now: Timestamp,
}

impl Page {
    /// Says how old a value is, in words.
    fn age(&self, time: &Timestamp) -> String {
        let seconds = self.now.seconds_since(*time);
        match seconds {
            ..0 => "from the future".to_owned(),
            0..120 => format!("{seconds} s ago"),
            120..7200 => format!("{} min ago", seconds.div_euclid(60)),
            7200..172_800 => format!("{} h ago", seconds.div_euclid(3600)),
            _ => format!("{} days ago", seconds.div_euclid(86_400)),
        }
    }

    /// Tells whether a meter has missed two registration periods.
    fn is_stale(&self, meter: &MeterView) -> bool {
        let period = i64::from(self.status.registration_period.seconds());
        let limit = period.saturating_mul(2);
        meter
            .last_success
            .is_none_or(|time| self.now.seconds_since(time) > limit)
    }

    /// How often the page comes again by itself, in seconds.
    fn refresh_seconds(&self) -> u32 {
        let period = self.status.live_period.unwrap_or(self.status.registration_period);
        period.seconds().min(30)
    }
}

/// Serves the local page until it is stopped.
pub(crate) async fn serve(listener: TcpListener, source: StatusSource, stop: CancellationToken) {
    server::serve(listener, router(source), |_| true, stop).await;
}

fn router(source: StatusSource) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(style))
        .route("/api/v1/status", get(status))
        .route("/metrics", get(health))
        .layer(middleware::from_fn(protect))
        .with_state(source)
}

async fn page(State(source): State<StatusSource>) -> Response {
    let page = Page {
        status: source.status(),
        now: clock::now(),
    };
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!("the local page could not be rendered: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

async fn health(State(source): State<StatusSource>) -> Result<Response, StatusCode> {
    // The database may be at work.
    let text = blocking(move || {
        let signs = source.vitals.take(&source.store);
        metrics::text(&source.status(), &signs, clock::now())
    });
    Ok(([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text.await?).into_response())
}

async fn status(State(source): State<StatusSource>) -> Json<Status> {
    Json(source.status())
}

/// Refuses foreign host names (DNS rebinding) and puts the protective headers on every answer.
async fn protect(request: Request, next: Next) -> Response {
    if !is_local(asked_host(request.headers(), request.uri())) {
        return (
            StatusCode::MISDIRECTED_REQUEST,
            "ask for this page by the gateway's address\n",
        )
            .into_response();
    }
    let mut response = next.run(request).await;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The page listens on loopback only, so that is how it is asked for.
fn is_local(host: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use model::{GatewayState, Medium, Span, Unit};
    use store::Holdings;

    use super::*;
    use crate::card::CardCalls;
    use crate::liveness::VitalSigns;
    use crate::metering::{StatisticsView, ValueView};
    use crate::mounts::Finding;

    fn page_at(now: &str) -> Page {
        let time: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let meter = MeterView {
            name: "gas <b>".to_owned(),
            bus: "cellar".to_owned(),
            id: Some("ELS-12345678-3C-03".parse().unwrap()),
            medium: Some(Medium::Gas),
            last_success: Some(time),
            error: None,
            values: vec![ValueView {
                obis: "7-0:3.0.0*255".parse().unwrap(),
                value: "4711.234".parse().unwrap(),
                unit: Unit::CubicMetre,
                time,
                status: model::Status::GOOD,
            }],
            registered: Vec::new(),
            statistics: StatisticsView::default(),
        };
        let state = GatewayState::Operational;
        Page {
            status: Status {
                schema: String::new(),
                state,
                code: state.code().to_owned(),
                cause: state.cause().to_owned(),
                remedy: state.remedy().to_owned(),
                detail: None,
                obstacle: None,
                guid: Some("fd5a::1".parse().unwrap()),
                bundle_version: Some(1),
                soft_card: true,
                web: None,
                https: None,
                https_fingerprint: None,
                wan: None,
                broker: None,
                registration_period: Span::QUARTER_HOUR,
                live_period: None,
                findings: vec![Finding {
                    code: "SMGW-F-0104".to_owned(),
                    text: "No barriers.".to_owned(),
                    remedy: "Mount it with barriers.".to_owned(),
                }],
                rss_kb: None,
                meters: vec![meter],
                buses: std::collections::BTreeMap::new(),
            },
            now: now.parse().unwrap(),
        }
    }

    #[test]
    fn the_page_shows_state_values_and_ages() {
        let html = page_at("2026-11-23T12:00:30Z").render().unwrap();
        for text in [
            "operational",
            "fd5a::1",
            "4711.234",
            "m3",
            "30 s ago",
            "7-0:3.0.0*255",
            "soft card",
            "SMGW-F-0104",
            "Mount it with barriers.",
        ] {
            assert!(html.contains(text), "{text} is missing in {html}");
        }
    }

    #[test]
    fn metrics_tell_of_health_and_of_no_value() {
        let mut page = page_at("2026-11-23T12:00:30Z");
        page.status.meters[0].statistics.polls = 7;
        page.status.meters[0].error = Some("it does not answer".to_owned());
        let signs = VitalSigns {
            tasks: [("broker", false), ("grid", true)].into(),
            card: CardCalls {
                calls: 12,
                failures: 3,
            },
            store: Holdings {
                waiting_messages: 4,
                ..Holdings::default()
            },
        };
        let text = metrics::text(&page.status, &signs, page.now);
        for line in [
            "smgw_state{state=\"operational\"} 1",
            "smgw_state{state=\"unbound\"} 0",
            "smgw_findings 1",
            "smgw_meter_silence_seconds{bus=\"cellar\",meter=\"gas <b>\"} 30",
            "smgw_meter_polls_total{bus=\"cellar\",meter=\"gas <b>\"} 7",
            "smgw_meter_up{bus=\"cellar\",meter=\"gas <b>\"} 0",
            "smgw_task_alive{task=\"broker\"} 0",
            "smgw_task_alive{task=\"grid\"} 1",
            "smgw_card_calls_total 12",
            "smgw_card_failures_total 3",
            "smgw_outbox_messages 4",
            "smgw_store_bytes 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in {text}"
            );
        }
        assert!(!text.contains("4711.234") && text.ends_with("# EOF\n"));
    }

    #[test]
    fn page_comes_again_as_often_as_live_values_do() {
        let mut page = page_at("2026-11-23T12:00:30Z");
        assert_eq!(page.refresh_seconds(), 30);
        page.status.live_period = Span::from_seconds(10);
        assert_eq!(page.refresh_seconds(), 10);
        let html = page.render().unwrap();
        assert!(html.contains("every PT10S"), "{html}");
    }

    #[test]
    fn names_cannot_smuggle_markup() {
        let html = page_at("2026-11-23T12:00:30Z").render().unwrap();
        assert!(!html.contains("gas <b>"));
    }

    #[test]
    fn a_meter_that_missed_two_periods_is_stale() {
        let fresh = page_at("2026-11-23T12:29:00Z");
        assert!(!fresh.is_stale(&fresh.status.meters[0]));
        let stale = page_at("2026-11-23T12:31:00Z");
        assert!(stale.is_stale(&stale.status.meters[0]));
        assert!(stale.render().unwrap().contains("31 min ago"));
    }

    #[test]
    fn foreign_host_names_are_refused() {
        let host = |text| is_local(Some(text));
        assert!(host("127.0.0.1:8080") && host("localhost") && host("[::1]:80") && host("127.0.0.1"));
        assert!(!host("evil.example:8080") && !host("192.168.1.1") && !is_local(None));
    }
}
