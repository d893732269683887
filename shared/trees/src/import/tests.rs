use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    std::fs::read(format!("{path}/{name}")).unwrap()
}

fn read(file: &str, bytes: &[u8]) -> Result<Foreign, ImportError> {
    match file {
        file if file.ends_with(".txt") => lightgbm::read(&String::from_utf8_lossy(bytes)),
        file if file.starts_with("xgboost") => xgboost::read(bytes),
        _ => sklearn::read(bytes),
    }
}

/// Converts the rows of a golden file to values of the model's columns.
fn rows_of(foreign: &Foreign, golden: &Json) -> Vec<Vec<f32>> {
    let number = |value: &Json| match value {
        Json::Null => f32::NAN,
        Json::String(text) => text.parse().unwrap(),
        other => other.as_f64().unwrap() as f32,
    };
    let names: Vec<String> =
        golden["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().into()).collect();
    // A DictVectorizer leaves absent features out: XGBoost treats them as missing, scikit-learn as 0.
    let absent = if foreign.source.starts_with("XGBoost") { f32::NAN } else { 0.0 };
    let of_dict = |row: &serde_json::Map<String, Json>| {
        let value = |name: &String| match name.split_once('=') {
            Some((name, text)) if row.get(name).is_some_and(|value| value.as_str() == Some(text)) => 1.0,
            Some(_) => absent,
            // A text in place of a number makes another column, which no model has.
            None => row.get(name).filter(|value| !value.is_string()).map_or(absent, number),
        };
        names.iter().map(value).collect()
    };
    let row = |row: &Json| match row {
        Json::Object(row) => of_dict(row),
        row => row.as_array().unwrap().iter().map(number).collect(),
    };
    golden["rows"].as_array().unwrap().iter().map(row).collect()
}

fn floats(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// Checks the raw score and the prediction of every golden row against the library's, within a relative `tolerance`.
fn check(file: &str, tolerance: f64) {
    let foreign = read(file, &fixture(file)).unwrap();
    let golden_file = format!("{}.golden.json", file.rsplit_once('.').unwrap().0);
    let golden: Json = serde_json::from_slice(&fixture(&golden_file)).unwrap();
    let rows = rows_of(&foreign, &golden);
    assert!(rows.len() >= 40, "{file}: {} rows", rows.len());
    for (at, row) in rows.iter().enumerate() {
        let (raw, prediction) = (floats(&golden["raw"])[at], floats(&golden["prediction"])[at]);
        let read: Vec<f32> =
            row.iter().zip(&foreign.columns).map(|(value, column)| column.reading.read(*value)).collect();
        // LightGBM does not average the raw score of a forest; scikit-learn does.
        let divisor = if file.starts_with("sklearn") { foreign.divisor } else { 1.0 };
        for (ours, theirs) in [(foreign.sum(&read) / divisor, raw), (foreign.predict_row(row), prediction)] {
            let apart = (ours - theirs).abs() / theirs.abs().max(1.0);
            assert!(apart <= tolerance, "{file}, row {at} {row:?}: {ours} is not {theirs}");
        }
    }
}

#[test]
fn lightgbm_scores_are_met_bit_for_bit() {
    for name in
        ["v4-regression", "v4-categorical", "v4-zero-as-missing", "v4-signed", "v4-no-missing", "v4-rf"]
    {
        check(&format!("lightgbm-{name}.txt"), 0.0);
    }
    check("lightgbm-v3-regression.txt", 0.0);
    check("lightgbm-single-leaf.txt", 0.0);
    // LightGBM's exp differs from ours in the last bit.
    check("lightgbm-v4-binary.txt", 1e-15);
}

#[test]
fn xgboost_scores_are_met_to_the_rounding_of_f32() {
    for name in
        ["v2-regression", "v3-regression", "v2-logistic", "v3-logistic", "v3-categorical", "v3-sparse"]
    {
        check(&format!("xgboost-{name}.json"), 1e-6);
    }
    for name in ["v3-parallel-trees", "v2-dart", "v3-dart"] {
        check(&format!("xgboost-{name}.json"), 1e-6);
    }
}

#[test]
fn scikit_learn_predictions_are_met() {
    check("sklearn-forest.json", 0.0);
    check("sklearn-gradient-boosting.json", 0.0);
    check("sklearn-gradient-boosting-classifier.json", 1e-15);
    // Long sums of products in another order.
    check("sklearn-linear.json", 1e-12);
    check("sklearn-logistic.json", 1e-12);
}

#[test]
fn rows_that_came_with_a_model_are_read() {
    let foreign = read("sklearn-forest.json", &fixture("sklearn-forest.json")).unwrap();
    assert!(!foreign.golden.is_empty() && foreign.source.starts_with("scikit-learn"));
    assert!(matches!(foreign.golden[1].row[0], (_, Some(Value::Number(_)))));
}

#[test]
fn what_cannot_be_computed_is_refused_with_its_place() {
    for (file, expected) in [
        ("lightgbm-v4-linear-tree.txt", "tree 0: linear leaves"),
        ("xgboost-v3-gblinear.json", "gradient_booster.name: \"gblinear\", expected gbtree or dart"),
    ] {
        let refused = read(file, &fixture(file)).unwrap_err().to_string();
        assert!(refused.contains(expected), "{file}: {refused:?} should say {expected:?}");
    }
    let lightgbm = String::from_utf8(fixture("lightgbm-v4-regression.txt")).unwrap();
    let first_value = lightgbm.lines().find(|line| line.starts_with("leaf_value=")).unwrap();
    for (from, to, expected) in [
        ("tree\n", "forest\n", "line 1 is \"forest\", expected \"tree\""),
        ("version=v4", "version=v9", "version: v9, expected v3 or v4"),
        ("end of trees", "end of", "the file is cut off"),
        ("objective=regression", "objective=lambdarank", "objective: \"lambdarank\""),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=3", "several classes"),
        ("num_leaves=12", "num_leaves=13", "12 numbers in leaf_value, expected 13"),
        ("num_leaves=12", "num_leaves=no", "num_leaves has \"no\", expected a number"),
        ("split_feature=2", "split_feature=77", "split_feature 77 of a model with 5 features"),
        (first_value, "", "tree 0: the field leaf_value is missing"),
        ("left_child=1", "left_child=0", "form a tree"),
    ] {
        assert!(lightgbm.contains(from), "{from}");
        let refused = lightgbm::read(&lightgbm.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(refused.contains(expected), "{from:?} -> {to:?}: {refused:?} should say {expected:?}");
    }
    let xgboost = String::from_utf8(fixture("xgboost-v3-regression.json")).unwrap();
    for (from, to, expected) in [
        ("\"learner\"", "\"teacher\"", "XGBoost JSON: missing field `learner`"),
        ("\"reg:squarederror\"", "\"multi:softmax\"", "learner.objective.name: \"multi:softmax\""),
        ("\"num_class\":\"0\"", "\"num_class\":\"3\"", "several outputs"),
        ("\"left_children\":[1,", "\"left_children\":[0,", "form a tree"),
        ("\"left_children\":[1,", "\"left_children\":[900,", "tree 0: node 900"),
        ("\"split_indices\":[", "\"split_indices\":[44,", "entries in split_indices"),
    ] {
        assert!(xgboost.contains(from), "{from}");
        let refused = xgboost::read(xgboost.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{from:?} -> {to:?}: {refused:?} should say {expected:?}");
    }
    let refused = sklearn::read(br#"{"format": "pickle"}"#).unwrap_err().to_string();
    assert!(refused.contains("missing field"), "{refused}");
}

#[test]
fn trees_after_the_best_iteration_count_only_if_asked_for() {
    for (name, parallel) in [("xgboost-v3-regression", 1), ("xgboost-v3-parallel-trees", 3)] {
        let file = String::from_utf8(fixture(&format!("{name}.json"))).unwrap();
        let n_trees = |foreign: Foreign| match foreign.body {
            Body::Trees(trees) => (trees.n_trees(), foreign.remark),
            Body::Linear { .. } => panic!("expected trees"),
        };
        let (all, remark) = n_trees(xgboost::read(file.as_bytes()).unwrap());
        assert!(remark.is_empty() && all > parallel, "{name}: {all} trees {remark}");
        let stopped = |best: &str| {
            file.replace("\"attributes\":{", &format!("\"attributes\":{{\"best_iteration\":\"{best}\""))
        };
        let (best, remark) = n_trees(xgboost::read(stopped("0").as_bytes()).unwrap());
        assert_eq!(best, parallel, "{name}");
        assert!(
            remark.contains(&format!("of its {all} trees, {best} count, up to best_iteration 0")),
            "{remark}"
        );
        let kept = xgboost::read_with(stopped("0").as_bytes(), xgboost::Iterations::All).unwrap();
        assert_eq!(n_trees(kept).0, all);
        for wrong in ["999", "-1"] {
            let refused = xgboost::read(stopped(wrong).as_bytes()).unwrap_err().to_string();
            assert!(refused.starts_with("learner.attributes.best_iteration"), "{refused}");
        }
    }
}

/// Writes JSON as UBJSON: objects and arrays with and without a count, integers of every width.
fn ubjson(value: &Json, out: &mut Vec<u8>) {
    let length = |length: usize, out: &mut Vec<u8>| {
        out.push(b'L');
        out.extend((length as i64).to_be_bytes());
    };
    match value {
        Json::Null => out.push(b'Z'),
        Json::Bool(value) => out.push(if *value { b'T' } else { b'F' }),
        Json::Number(number) => match number.as_i64() {
            Some(small) if i8::try_from(small).is_ok() => out.extend([b'i', small as i8 as u8]),
            Some(large) => {
                out.push(b'L');
                out.extend(large.to_be_bytes());
            }
            None => {
                out.push(b'D');
                out.extend(number.as_f64().unwrap().to_be_bytes());
            }
        },
        Json::String(text) => {
            out.push(b'S');
            length(text.len(), out);
            out.extend(text.as_bytes());
        }
        Json::Array(elements) if elements.iter().all(Json::is_f64) => {
            out.extend(b"[$D#");
            length(elements.len(), out);
            elements.iter().for_each(|of| out.extend(of.as_f64().unwrap().to_be_bytes()));
        }
        Json::Array(elements) => {
            out.push(b'[');
            elements.iter().for_each(|element| ubjson(element, out));
            out.push(b']');
        }
        Json::Object(fields) => {
            out.push(b'{');
            for (name, value) in fields {
                length(name.len(), out);
                out.extend(name.as_bytes());
                ubjson(value, out);
            }
            out.push(b'}');
        }
    }
}

#[test]
fn xgboost_s_binary_form_is_the_same_model() {
    for name in ["xgboost-v3-categorical.json", "xgboost-v2-logistic.json", "xgboost-v3-dart.json"] {
        let mut binary = Vec::new();
        ubjson(&serde_json::from_slice(&fixture(name)).unwrap(), &mut binary);
        assert_eq!(xgboost::read(&binary).unwrap(), xgboost::read(&fixture(name)).unwrap(), "{name}");
        for end in (0..binary.len()).step_by(97) {
            let refused = xgboost::read(&binary[..end]);
            assert!(refused.is_err(), "{name} cut at {end}");
        }
    }
    for (bytes, expected) in [
        (&b"{i\x01a[$Z#L\x7f\0\0\0\0\0\0\0"[..], "elements without bytes"),
        (b"{i\x01a[#L\x7f\0\0\0\0\0\0\0", "a count of"),
        (b"{i\x01ad\x7f\xc0\0\0}", "expected a finite number"),
        (&[&b"{i\x01a"[..], &[b'['; 100]].concat(), "in each other"),
        (b"{i\x01aZ}x", "bytes after the end"),
    ] {
        let refused = xgboost::read(bytes).unwrap_err().to_string();
        assert!(refused.starts_with("XGBoost UBJSON: byte ") && refused.contains(expected), "{refused}");
    }
}

#[test]
fn categories_that_a_data_frame_numbered_are_those_of_the_file() {
    let text = String::from_utf8(fixture("lightgbm-v4-categorical.txt")).unwrap();
    let with = |lists: &str| text.replace("pandas_categorical:null", &format!("pandas_categorical:{lists}"));
    assert!(with("x") != text, "the fixture has no such line");
    let foreign = lightgbm::read(&with(r#"[[4, 24, 41], ["74", "75"]]"#)).unwrap();
    assert_eq!(foreign.columns[0].categories, ["4", "24", "41"]);
    assert_eq!(foreign.columns[1].categories, ["74", "75"]);
    assert!(foreign.columns[2].categories.is_empty());
    let refused = lightgbm::read(&with("[[1]]")).unwrap_err().to_string();
    assert!(refused.starts_with("pandas_categorical: 1 lists of categories do not fit"), "{refused}");
    let mut document: Json = serde_json::from_slice(&fixture("xgboost-v3-categorical.json")).unwrap();
    document["learner"]["gradient_booster"]["model"]["cats"] = serde_json::json!({"enc": [
        {"type": 15, "values": [4, 24]}, {"offsets": [0, 2, 4], "values": [55, 52, 55, 53]}, {"offsets": [], "values": []},
    ]});
    let foreign = xgboost::read(document.to_string().as_bytes()).unwrap();
    assert_eq!(foreign.columns[0].categories, ["4", "24"]);
    assert_eq!(foreign.columns[1].categories, ["74", "75"]);
    assert!(foreign.columns[2].categories.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn damage_is_refused_or_read_but_never_a_panic(
        file in prop::sample::select(vec![
            "lightgbm-v4-categorical.txt", "xgboost-v3-categorical.json", "xgboost-v2-dart.json", "sklearn-forest.json",
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = fixture(file);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = if byte < 128 { b"0123456789-.,[]{}\"=\n e"[usize::from(byte) % 22] } else { byte };
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(foreign) = read(file, &bytes) {
            let row = vec![1.0; foreign.columns.len()];
            prop_assert!(!foreign.predict_row(&row).is_nan() || foreign.divisor != 1.0);
        }
    }

    #[test]
    fn a_threshold_rounded_down_routes_every_f32_alike(threshold in any::<f64>(), x in any::<f32>()) {
        prop_assume!(threshold.is_finite());
        let near = threshold as f32;
        for x in [x, near, near.next_up(), near.next_down()] {
            prop_assert_eq!(x <= rounded_down(threshold), f64::from(x) <= threshold);
        }
    }
}
