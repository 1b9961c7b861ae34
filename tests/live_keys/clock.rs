//! A provider whose clock differs.

use super::*;

#[tokio::test]
async fn a_provider_whose_clock_differs_is_told_of_once() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(120));
    let server = KeyServer::start(key_set(&[&idp]).field("Date", &date)).await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), often(), &app)).await;
    until_fetched(&gate, "idp", "ok", 3.0).await;
    let labels = [("provider", "idp"), ("by", "date")];
    let ahead = gate.metrics().await.sum("tollgate_provider_clock_skew_seconds", &labels);
    assert!((80.0..=120.0).contains(&ahead), "{ahead}");
    assert_eq!(gate.lines().iter().filter(|line| line.contains("clock differs")).count(), 1);
}

#[tokio::test]
async fn tokens_from_the_future_tell_of_the_clock_before_they_are_refused() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let mut file = config().provider("idp", &idp).route("/*", "idp", &app);
    file = file.set("providers.idp.leeway", json!("60s"));
    let gate = Tollgate::start(file).await;
    let issued = |ahead: i64| {
        let mut claims = claims("ada");
        claims["iat"] = json!(i64::try_from(support::now()).unwrap() + ahead);
        idp.sign(claims)
    };
    let ahead = |metrics: &support::Metrics| {
        metrics.sum("tollgate_provider_clock_skew_seconds", &[("provider", "idp"), ("by", "tokens")])
    };
    let warnings = |lines: &[String]| lines.iter().filter(|line| line.contains("clock differs")).count();
    for (seconds, warned) in [(-7, 0), (20, 0), (45, 1), (50, 1)] {
        assert_eq!(gate.get("/").bearer(&issued(seconds)).await.status, 200, "{seconds}");
        gate.metrics_until(&format!("{seconds} ahead"), |metrics| {
            let floor = f64::from(i32::try_from(seconds).unwrap());
            (floor - 5.0..=floor).contains(&ahead(metrics))
        })
        .await;
        let lines = gate.lines_until("the warning", |lines| warnings(lines) >= warned).await;
        assert_eq!(warnings(&lines), warned, "{seconds}");
    }
    assert_eq!(gate.get("/").bearer(&issued(-290)).await.status, 200);
    assert_eq!(gate.get("/").bearer(&issued(600)).await.status, 401);
    gate.metrics_until("what is refused tells too", |metrics| ahead(metrics) > 500.0).await;
}
