"""Rows in the shape of public data sets, and how lm-eval's own task files are run on them.

Used by `lm_eval_tasks.py --shipped FILE`, and by the comparison with ours. The rows are invented;
only names of columns are those of the data sets. Task files stay where lm-eval has them.
"""

import json
from pathlib import Path

STEM = (
    "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science "
    "college_mathematics college_physics computer_security conceptual_physics "
    "electrical_engineering elementary_mathematics high_school_biology high_school_chemistry "
    "high_school_computer_science high_school_mathematics high_school_physics "
    "high_school_statistics machine_learning"
).split()
CHAT = {"apply_chat_template": True, "fewshot_as_multiturn": True}
CASES = [
    {"tasks": [name], "num_fewshot": shots}
    for name, shots in {
        "arc_easy": 3, "hellaswag": 2, "winogrande": 1, "piqa": 2, "boolq": 1, "lambada_openai": 0,
        "wikitext": 0, "gsm8k": 3, "gsm8k_cot": 8, "triviaqa": 2, "truthfulqa_mc1": 0,
        "bbh_cot_fewshot_boolean_expressions": 3, "arithmetic_2da": 0, "drop": 1, "sciq": 1,
        "openbookqa": 2, "copa": 1, "rte": 2, "cola": 2, "mrpc": 1, "sst2": 2, "race": 0,
        "webqs": 0, "nq_open": 2, "asdiv": 0, "swag": 1, "social_iqa": 1, "commonsense_qa": 2,
        "mgsm_direct_en": 2, "blimp_adjunct_island": 0, "belebele_eng_Latn": 2, "logiqa": 1,
        "medqa_4options": 1, "anli_r1": 2, "qnli": 1, "xcopa_it": 1, "wsc273": 0, "pubmedqa": 1,
        "headqa_en": 1, "wic": 1, "toxigen": 0, "mathqa": 1, "multirc": 1, "mmlu_stem": 2,
    }.items()
] + [
    {"tasks": ["arc_easy"], "num_fewshot": 2, **CHAT},
    {"tasks": ["winogrande"], "num_fewshot": 1, **CHAT},
    {"tasks": ["gsm8k"], **CHAT},
    {"tasks": ["mmlu_stem"], "num_fewshot": 1, **CHAT, "fewshot_as_multiturn": False},
]  # fmt: skip

TEXTS = {
    "gsm8k": ["#### 4", "It is 7.", "5 and 6", "none"],
    "gsm8k_cot": ["The answer is 4.", "The answer is $7", "So 5", "The answer is 1,000."],
    "triviaqa": [" Name 1", "name 0", "it", "NAME 3!"],
    "nq_open": [" answer 0", "Answer 1", "x", "answer 2"],
    "bbh_cot_fewshot_boolean_expressions": ["So the answer is True.", "the answer is False", "no"],
    "drop": ["3", " the cat", "4 May 1999", "cats and dogs"],
    "mgsm_direct_en": [" 4", "it is 7", "5.", "$1,000"],
}


def choice(n, count=4):
    """A question with options."""
    options = [f"option {n}{'x' * k} {k}" for k in range(count)]
    return {"question": f" Question {n} of rows? ", "choices": options, "answer": n % count}


def arc(n):
    one = choice(n, 4 if n % 3 else 3)
    texts = one["choices"]
    return {"id": f"r{n}", "question": one["question"], "answerKey": "ABCD"[one["answer"]],
            "choices": {"text": texts, "label": list("ABCD")[: len(texts)]}}  # fmt: skip


def drop_answer(n, number=""):
    date = {"day": "4", "month": "May", "year": "1999"}
    return {"number": number, "date": date if n % 3 == 1 else {"day": "", "month": "", "year": ""},
            "spans": ["the cat", "dogs"][: n % 3]}  # fmt: skip


def race(n):
    problems = [{"question": f"What {k}?", "answer": "ABCD"[(n + k) % 4],
                 "options": [f"o{k}{j}" for j in range(4)]} for k in range(2)]  # fmt: skip
    problems[0]["question"] = "It is  _  ."
    return {"article": f"Article {n}.", "problems": repr(problems)}


def winograd(n):
    text = f"The cat {n} saw the dog because it ran."
    place = text.index("it ran")
    return {"text": text, "pronoun": "it", "pronoun_loc": place, "quote": "it", "quote_loc": 0,
            "options": ["The cat", "The dog"], "label": n % 2, "source": "x"}  # fmt: skip


ROWS = {
    "allenai/ai2_arc/ARC-Easy": arc,
    "Rowan/hellaswag": lambda n: {
        "activity_label": f"Act {n}", "ctx_a": f"A man [step] {n}.", "ctx_b": "he", "ind": n,
        "ctx": f"A man {n}. he", "label": str(n % 4),
        "endings": [f"goes [title] {k}.  Then {n}" for k in range(4)],
    },
    "allenai/winogrande/winogrande_xl": lambda n: {
        "sentence": f"Ann {n} met Bea since _ was late {n}.", "option1": "Ann", "option2": "Bea",
        "answer": str(n % 2 + 1),
    },
    "baber/piqa": lambda n: {
        "goal": f"Do {n}", "sol1": f"so {n}", "sol2": f"not so {n}", "label": n % 2,
    },
    "aps/super_glue/boolq": lambda n: {
        "passage": f"Fact {n}.", "question": f"is it {n}", "label": n % 2, "idx": n,
    },
    "EleutherAI/lambada_openai/default": lambda n: {
        "text": f"He came {n} times to the old home{n}",
    },
    "EleutherAI/wikitext_document_level/wikitext-2-raw-v1": lambda n: {
        "page": f" = Page {n} = \n \n It 's 1 @,@ 000 , and ( so ) on @-@ line \" {n} \" . \n",
    },
    "openai/gsm8k/main": lambda n: {
        "question": f"What is {n} + 4?", "answer": f"So.\n#### {n + 4}",
    },
    "mandarjoshi/trivia_qa/rc.nocontext": lambda n: {
        "question": f"Who is {n}", "answer": {"value": f"Name {n}", "aliases": [f"Name {n}", "It"]},
    },
    "truthfulqa/truthful_qa/multiple_choice": lambda n: {
        "question": f"Is it {n}?", "mc1_targets": {"choices": [f"Yes {n}", "No", "So"][: 2 + n % 2],
                                                   "labels": [1, 0, 0][: 2 + n % 2]},
    },
    "SaylorTwift/bbh/boolean_expressions": lambda n: {
        "input": f"not ( {n % 2 == 0} ) is", "target": str(bool(n % 2)),
    },
    "json/two_digit_addition": lambda n: {
        "context": f"Question: What is {n} plus 4?\nAnswer:", "completion": f" {n + 4}",
    },
    "EleutherAI/drop": lambda n: {
        "query_id": f"q{n}", "section_id": "s", "passage": f"Passage {n}.", "question": "How many?",
        "answer": drop_answer(n, "3" if n % 3 == 0 else ""),
        "validated_answers": {key: [drop_answer(n + 1)[key]] for key in ("number", "date",
        "spans")},
    },
    "allenai/sciq": lambda n: {
        "support": f" Support {n}.", "question": f"Which {n}?", "distractor1": "a",
        "distractor2": "b",
        "distractor3": "c", "correct_answer": f"right {n}",
    },
    "allenai/openbookqa/main": lambda n: {
        "id": str(n), "question_stem": f"Stem {n}", "answerKey": "ABCD"[n % 4],
        "choices": {"text": [f"t{n}{k}" for k in range(4)], "label": list("ABCD")},
    },
    "aps/super_glue/copa": lambda n: {
        "premise": f"It rained {n}.", "choice1": f"We ran {n}.", "choice2": "We slept.",
        "question": ("cause", "effect")[n % 2], "label": n % 2, "idx": n,
    },
    "nyu-mll/glue/rte": lambda n: {"sentence1": f"S {n}.", "sentence2": "T.", "label": n % 2},
    "nyu-mll/glue/cola": lambda n: {"sentence": f"Sentence {n}", "label": n % 2},
    "nyu-mll/glue/mrpc": lambda n: {"sentence1": f"S {n}.", "sentence2": "T.", "label": n % 2},
    "nyu-mll/glue/sst2": lambda n: {"sentence": f"Film {n} ", "label": n % 2},
    "nyu-mll/glue/qnli": lambda n: {"question": f"Q {n}?", "sentence": "S.", "label": n % 2},
    "EleutherAI/race/high": race,
    "stanfordnlp/web_questions": lambda n: {
        "url": "u", "question": f"who {n}", "answers": [f"Zoe {n}", f"Ann {n}", "Ann"][: 2 + n % 2],
    },
    "google-research-datasets/nq_open": lambda n: {
        "question": f"what is {n}", "answer": [f"answer {n}", f"a{n}"],
    },
    "EleutherAI/asdiv": lambda n: {
        "body": f"Body {n}.", "question": "How many?", "answer": f"{n} (apples)", "formula": "1",
    },
    "allenai/swag/regular": lambda n: {
        "startphrase": f"She {n}",
        "label": n % 4, **{f"ending{k}": f"end {n}{k}" for k in range(4)},
    },
    "lighteval/siqa": lambda n: {
        "context": f"Al {n} ran.", "question": "Why?", "answerA": "to go", "answerB": f"so {n}",
        "answerC": "no", "label": str(n % 3 + 1),
    },
    "tau/commonsense_qa": lambda n: {
        "id": str(n), "question": f" Where {n}? ", "question_concept": "c",
        "answerKey": "ABCDE"[n % 5],
        "choices": {"label": list("ABCDE"), "text": [f"place {k}" for k in range(5)]},
    },
    "juletxara/mgsm/en": lambda n: {
        "question": f"What is {n} + 4?", "answer": None, "answer_number": n + 4,
        "equation_solution": None,
    },
    "nyu-mll/blimp/adjunct_island": lambda n: {
        "sentence_good": f"Who did {n} see?", "sentence_bad": f"Who see {n} did?",
    },
    "facebook/belebele/eng_Latn": lambda n: {
        "flores_passage": f"Passage {n}", "question": f" Q {n}? ",
        "correct_answer_num": str(n % 4 + 1),
        **{f"mc_answer{k}": f"answer {k}" for k in range(1, 5)},
    },
    "EleutherAI/logiqa/logiqa": lambda n: {
        "label": "abcd"[n % 4], "context": f"Context {n}.", "question": "Which?",
        "options": [f"o{n}{k}" for k in range(4)],
    },
    "GBaker/MedQA-USMLE-4-options-hf": lambda n: {
        "id": str(n), "sent1": f"Case {n}", "sent2": "", "label": n % 4,
        **{f"ending{k}": f"drug {k}" for k in range(4)},
    },
    "facebook/anli": lambda n: {
        "premise": f"P {n}.", "hypothesis": "H.", "label": n % 3, "reason": "",
    },
    "cambridgeltl/xcopa/it": lambda n: {
        "premise": f"Piove {n}.", "choice1": f"Corro {n}.", "choice2": "Dormo.", "label": n % 2,
        "question": ("cause", "effect")[n % 2], "idx": n, "changed": False,
    },
    "lighteval/winograd_wsc/wsc273": winograd,
    "bigbio/pubmed_qa/pubmed_qa_labeled_fold0_source": lambda n: {
        "CONTEXTS": [f"Context {n}.", "More."], "QUESTION": f"Is it {n}?",
        "final_decision": ("yes", "no", "maybe")[n % 3],
    },
    "EleutherAI/headqa/en": lambda n: {
        "qtext": f"Question {n}", "ra": n % 4 + 1,
        "answers": [{"aid": k + 1, "atext": f"text {k}"} for k in range(4)],
    },
    "aps/super_glue/wic": lambda n: {
        "sentence1": f"a bank {n}", "sentence2": "bank", "start1": 2, "end1": 6, "label": n % 2,
        "word": "bank", "idx": n,
    },
    "skg/toxigen-data/annotated": lambda n: {
        "text": f"Text {n}", "toxicity_ai": n % 5 + 0.5, "toxicity_human": n % 3 + 1.0,
    },
    "regisss/math_qa": lambda n: {
        "Problem": f"What is {n}?", "correct": "abcde"[n % 5],
        "options": f"a ) {n} , b ) 2 , c ) 3.5 , d ) four , e ) none",
    },
    "aps/super_glue/multirc": lambda n: {
        "paragraph": f"Paragraph {n}.", "question": "Who?", "answer": f"He {n}", "label": n % 2,
        "idx": {"paragraph": n, "question": 0, "answer": 0},
    },
    **{f"cais/mmlu/{name}": choice for name in STEM},
}  # fmt: skip

SPLITS = {
    "train": range(20, 32), "validation": range(10, 15), "test": range(6), "dev": range(40, 45),
    "train_r1": range(20, 32), "dev_r1": range(10, 15), "test_r1": range(6),
}  # fmt: skip


def write_rows(folder: Path) -> Path:
    """Write every split of every data set below the folder."""
    for name, row in ROWS.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for split, numbers in SPLITS.items():
            text = "".join(json.dumps(row(n), ensure_ascii=False) + "\n" for n in numbers)
            (place / f"{split}.jsonl").write_text(text, encoding="utf-8")
        if name.startswith("json/"):
            (folder / f"{name.rpartition('/')[2]}.jsonl").write_text(text, encoding="utf-8")
    return folder
