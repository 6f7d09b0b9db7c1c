//! Patients whose names were sent in every character set are found in whatever script somebody types, and their bytes stay what they were.

use dokuei_dimse::Status;
use dokuei_testkit::{
    data_set::{self, Tag},
    testdata,
};
use serde_json::Value;

use crate::harness::{Index, Object, Person, TestNode, scu, send, send_alone, synthetic};

on_both_databases!(patients_are_found_in_every_script_and_their_bytes_stay_as_they_were);

/// A file of the test data as an association carries it, and its Study Instance UID.
fn object_of(file: &str) -> (Object, String) {
    let bytes = std::fs::read(testdata(file)).unwrap();
    let text = |tag| {
        let value = data_set::value_of(&bytes, tag).unwrap().unwrap();
        String::from_utf8(value.to_vec()).unwrap().trim_end_matches(['\0', ' ']).to_owned()
    };
    let object = Object {
        sop_class: text(Tag(0x0008, 0x0016)),
        sop_instance: text(Tag(0x0008, 0x0018)),
        transfer_syntax: "1.2.840.10008.1.2.1".to_owned(),
        data_set: data_set::data_set_of(&bytes).unwrap().to_vec(),
    };
    (object, text(Tag(0x0020, 0x000D)))
}

/// Files, the facility that sends them (two share their UIDs), what finds each, and the name as it is shown.
const FILES: &[(&str, &str, &[&str], &str)] = &[
    ("charset/chrJapMulti.dcm", "HOSP1", &["やまだ", "ﾔﾏﾀﾞ ﾀﾛｳ", "yamada taro", "2008-4"], "やまだ たろう"),
    ("charset/chrJapMultiExplicitIR6.dcm", "HOSP2", &["ヤマダ", "YAMADA^TAROU"], "やまだ たろう"),
    ("charset/chrKoreanMulti.dcm", "HOSP1", &["김희중", "김", "희중", "2008-3"], "김희중"),
    ("charset/chrGB2312.dcm", "HOSP1", &["张小东", "张 小东", "zhang xiaodong"], "Zhang XiaoDong"),
    ("charset/chrX2.dcm", "HOSP1", &["王小东", "WANG"], "Wang XiaoDong"),
    ("charset/chrRuss.dcm", "HOSP1", &["Люкceмбypг", "люкc", "SCSRUSS"], "Люкceмбypг"),
    ("charset/chrGreek.dcm", "HOSP1", &["ΔΙΟΝΥΣΙΟΣ", "Διονύσιος", "scsgreek"], "Διονυσιος"),
    ("charset/chrFren.dcm", "HOSP1", &["jerome buc", "Jérôme", "ＢＵＣ"], "Buc Jérôme"),
    ("charset/chrArab.dcm", "HOSP1", &["قباني", "scsarab"], "قباني لنزار"),
    ("charset/chrHbrw.dcm", "HOSP1", &["שרון דבורה"], "שרון דבורה"),
];

/// Names of studies made for the test: bytes, declaration, what finds them, whether they had to be repaired.
const NAMES: &[(&[u8], &str, &[&str], bool)] = &[
    // PS3.5 H.3.1 and H.3.2.
    (
        b"Suzuki^Ichirou=\x1B$BNkLZ\x1B(B^\x1B$B0lO:\x1B(B=\x1B$B$9$:$-\x1B(B^\x1B$B$$$A$m$&\x1B(B",
        "\\ISO 2022 IR 87",
        &["鈴木一郎", "すずき", "suzuki ichiro", "一郎　鈴木"],
        false,
    ),
    (
        b"\xBB\xC4\xB3^\xCA\xC5\xBA=\x1B$B:4F#\x1B(J^\x1B$B2V;R\x1B(J",
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        &["佐藤", "ｻﾄｳ", "sato hanako", "Satoh"],
        false,
    ),
    ("Takahashi^Shouji=髙橋^﨑二".as_bytes(), "ISO_IR 192", &["高橋崎二", "髙橋", "ﾀｶﾊｼ ｼﾖｳｼﾞ", "syozi"], false),
    // 田中^表 in Shift_JIS (表 is 95 5C), of which nothing is declared.
    (b"TANAKA^HYO=\x93\x63\x92\x86^\x95\x5C", "", &["田中", "田中表", "tanaka"], true),
];

async fn listed(node: &TestNode, facility: Option<&str>, typed: &str) -> Vec<Value> {
    let mut arguments = vec!["study", "list", "--name", typed];
    arguments.extend(facility.iter().flat_map(|facility| ["--facility", facility]));
    node.cli(&arguments).await.as_array().unwrap().clone()
}

async fn patients_are_found_in_every_script_and_their_bytes_stay_as_they_were(index: Index) {
    let node = TestNode::start(index).await;
    node.add_facility("HOSP2", &["HOSP2"]).await;
    let clerk = ["user", "add", "--id", "clerk", "--role", "facility", "--facility", "HOSP1", "--name", "放射線科"];
    let clerk = Person::new(&node, &node.cli(&clerk).await);
    clerk.sign_in().await;

    for (file, facility, _, _) in FILES {
        let (object, _) = object_of(file);
        assert_eq!(send_alone(&node, facility, &object).await.unwrap(), Status::SUCCESS, "{file}");
    }
    let mut association = scu(&node, "HOSP1").await;
    let mut made = Vec::new();
    for (number, (name, set, _, _)) in NAMES.iter().enumerate() {
        let image = synthetic(1, 900 + number as u64).remove(0).with_patient(format!("M-{number}"), *name, set);
        assert_eq!(send(&mut association, &Object::ct(&image)).await.unwrap(), Status::SUCCESS);
        made.push(image);
    }
    association.release().await.unwrap();

    for (file, facility, typed, shown) in FILES {
        let (object, study) = object_of(file);
        for typed in *typed {
            let found = listed(&node, Some(facility), typed).await;
            assert_eq!(found.len(), 1, "{typed} finds {found:?}");
            assert_eq!(
                (found[0]["study"].as_str(), found[0]["facility"].as_str()),
                (Some(study.as_str()), Some(*facility))
            );
            assert_eq!(found[0]["charset_repaired"], false, "{file}");
            let names = ["patient_name", "name_alphabetic"].map(|key| found[0][key].as_str().unwrap());
            assert!(names.contains(shown), "{names:?}");
            // What HOSP2 has, HOSP1 has too, and sees only its own.
            let page = clerk.get(&format!("/studies?q={}", encoded(typed))).await.success().text();
            assert_eq!(page.matches("data-study=").count(), 1, "{typed} on the page of HOSP1");
        }
        let stored = node.export_study(facility, &study).await;
        assert!(stored.get(&object.sop_instance) == Some(&object.data_set), "{file} came out with other bytes");
    }
    for (image, (_, _, typed, repaired)) in made.iter().zip(NAMES) {
        for typed in *typed {
            let found = listed(&node, None, typed).await;
            assert_eq!(found.len(), 1, "{typed} finds {found:?}");
            assert_eq!(found[0]["study"], image.study_instance_uid, "{typed}");
            assert_eq!(found[0]["charset_repaired"], *repaired, "{typed}");
        }
        let stored = node.export_study("HOSP1", &image.study_instance_uid).await;
        assert!(stored[&image.sop_instance_uid] == Object::ct(image).data_set, "other bytes came out");
    }

    assert_eq!(listed(&node, None, "やまだ").await.len(), 2, "each hospital's");
    assert_eq!(listed(&node, None, "").await.len(), FILES.len() + NAMES.len());
    assert!(listed(&node, Some("HOSP2"), "鈴木").await.is_empty());
    assert!(listed(&node, None, "誰も").await.is_empty());
    let log = node.log_text();
    for name in ["やまだ", "yamada", "鈴木", "Suzuki", "佐藤", "%E3%82%84"] {
        assert!(!log.contains(name), "a patient's name is in the log");
    }
    node.nothing_half_stored().await;
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
