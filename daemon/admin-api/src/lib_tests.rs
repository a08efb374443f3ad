use super::*;
use serde_json::{from_str, json, to_value};

#[test]
fn an_id_keeps_all_64_bits_through_json() {
    let id = Id(0xfedc_ba98_7654_3211);
    assert_eq!(to_value(id).unwrap(), json!("fedcba9876543211"));
    assert_eq!(from_str::<Id>("\"fedcba9876543211\"").unwrap(), id);
    let refused = from_str::<Id>("\"m1\"").unwrap_err().to_string();
    assert!(refused.contains("id \"m1\" is not a hexadecimal number of at most 64 bits"), "{refused}");
}

#[test]
fn a_follower_speaks_camel_case_with_units_last() {
    let follower = Follower {
        member: Id(0xb),
        name: "m2".into(),
        state: StreamState::Snapshot,
        paused: Some(PausedReason::NoCredit),
        lag_entries: 7,
        lag_seconds: 0.25,
        ..Follower::default()
    };
    let json = to_value(&follower).unwrap();
    assert_eq!(json["member"], "b");
    assert_eq!(json["state"], "snapshot");
    assert_eq!(json["paused"], "noCredit");
    assert_eq!(json["lagEntries"], 7);
    assert_eq!(json["lagSeconds"], 0.25);
    assert_eq!(serde_json::from_value::<Follower>(json).unwrap(), follower);
}

#[test]
fn a_member_of_before_certificates_were_told_has_none() {
    let end = CertificatesInUse {
        side: Side::Peer,
        certificate: "ab".into(),
        not_after_seconds: Some(7),
        trusted: vec!["cd".into()],
    };
    let status = MemberStatus { certificates: vec![end.clone()], ..MemberStatus::default() };
    let mut json = to_value(&status).unwrap();
    assert_eq!(
        json["certificates"][0],
        json!({ "side": "peer", "certificate": "ab", "notAfterSeconds": 7, "trusted": ["cd"] })
    );
    json.as_object_mut().unwrap().remove("certificates");
    assert_eq!(serde_json::from_value::<MemberStatus>(json).unwrap().certificates, []);
}

#[test]
fn a_reader_ignores_fields_it_does_not_know() {
    let mut json = to_value(MemberStatus::default()).unwrap();
    json["addedLater"] = json!(1);
    assert_eq!(serde_json::from_value::<MemberStatus>(json).unwrap(), MemberStatus::default());
}

#[test]
fn a_request_with_an_unknown_field_is_refused() {
    let refused = from_str::<TransferLeader>(r#"{"target": "b"}"#).unwrap_err().to_string();
    assert!(refused.contains("unknown field `target`, expected `to`"), "{refused}");
}

#[test]
fn reasons_carry_their_figures() {
    let reason = UnsafeReason::QuorumWouldBeLost { caught_up: 1, required: 2 };
    let json = to_value(&reason).unwrap();
    assert_eq!(json, json!({"reason": "quorumWouldBeLost", "caughtUp": 1, "required": 2}));
    assert_eq!(serde_json::from_value::<UnsafeReason>(json).unwrap(), reason);
}
