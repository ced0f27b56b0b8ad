"""The RecBole half of against_recbole.py; runs under RecBole's own interpreter, knows nothing of recaudit.

    python recbole_side.py FOLDER MODEL EPOCHS

FOLDER holds bench/bench*.inter. Prints one JSON line an epoch: cumulated CPU seconds of training, CPU seconds of one
full-ranking evaluation on the validation part, and its NDCG@20; with 0 EPOCHS five evaluations of an untrained model.
"""

import json
import sys
import time

import torch

_load = torch.load
torch.load = lambda *a, **k: _load(*a, **{**k, "weights_only": False})  # RecBole 1.2 predates the safe default
torch.set_num_threads(1)

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.utils import get_model, get_trainer, init_seed  # noqa: E402

folder, name, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
settings = {
    "data_path": folder,
    "checkpoint_dir": folder,
    "epochs": epochs,
    "seed": 0,
    "reproducibility": True,
    "show_progress": False,
    "state": "ERROR",
    "use_gpu": False,
    "metrics": ["Recall", "NDCG", "Hit", "MRR", "Precision", "ItemCoverage"],  # what recaudit measures,
    "topk": [20],
    "valid_metric": "NDCG@20",
}
if name == "SASRec":
    settings |= {
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": None},
        "MAX_ITEM_LIST_LENGTH": 50,
        "train_neg_sample_args": None,
        "loss_type": "CE",
    }
else:
    settings |= {
        "load_col": {"inter": ["user_id", "item_id"]},
        "benchmark_filename": ["train", "valid", "test"],
        "eval_args": {"split": {"RS": [8, 1, 1]}, "order": "RO", "group_by": "user", "mode": "full"},
    }
sys.argv = sys.argv[:1]
config = Config(model=name, dataset="bench", config_dict=settings)
init_seed(config["seed"], config["reproducibility"])
dataset = create_dataset(config)
train_data, valid_data, _ = data_preparation(config, dataset)
model = get_model(name)(config, train_data._dataset).to(config["device"])
trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
trainer.eval_collector.data_collect(train_data)
spent = 0.0
for _ in range(0 if epochs else 5):  # no training asked for: the cost of an evaluation alone
    start = time.process_time()
    trainer.evaluate(valid_data, load_best_model=False)
    print(json.dumps({"evaluate_cpu_s": time.process_time() - start}), flush=True)
for epoch in range(epochs):
    start = time.process_time()
    trainer._train_epoch(train_data, epoch)
    spent += time.process_time() - start
    start = time.process_time()
    result = trainer.evaluate(valid_data, load_best_model=False)
    line = {"epoch": epoch + 1, "train_cpu_s": spent, "evaluate_cpu_s": time.process_time() - start}
    print(json.dumps(line | {"ndcg@20": float(result["ndcg@20"])}), flush=True)
