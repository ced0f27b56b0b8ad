"""The ARLib half of against_arlib.py; runs under an interpreter that has ARLib's needs, knows nothing of recaudit.

    python arlib_side.py CHECKOUT MODEL CATEGORY ATTACK SEED

Crafts once with the defaults of ARLib's own parsers and prints one JSON line. MODEL is where its trained LightGCN is
kept, which white-box attacks start from. ARLib keeps the targets that it drew in CHECKOUT.
"""

import contextlib
import json
import os
import random
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix

checkout, kept = (Path(path).resolve() for path in sys.argv[1:3])
category, name, seed = sys.argv[3:]
sys.argv = [*sys.argv[:1], "--dataset", "ml-100k"]
os.chdir(checkout)  # ARLib reads and writes below the current folder
sys.path.insert(0, str(checkout))
torch.set_num_threads(1)
torch.Tensor.cuda = lambda self, *a, **k: self  # ARLib names the device outright; here there is none
torch.nn.Module.cuda = lambda self, *a, **k: self
_sample = random.sample
random.sample = lambda population, k: _sample(tuple(population), k)  # what Python did with a set until 3.11
_assign = csr_matrix.__setitem__
csr_matrix.__setitem__ = lambda self, key, value: _assign(  # scipy no longer takes tensors as indices
    self, tuple(np.array(part) if torch.is_tensor(part) else part for part in key), value
)

from conf.attack_parser import attack_parse_args  # noqa: E402
from conf.recommend_parser import recommend_parse_args  # noqa: E402
from recommender.LightGCN import LightGCN  # noqa: E402
from util.DataLoader import DataLoader  # noqa: E402
from util.tool import seedSet  # noqa: E402

model_args = recommend_parse_args()
sys.argv = sys.argv[:1]
args = attack_parse_args()
seedSet(int(seed))
with contextlib.redirect_stdout(sys.stderr):
    data = DataLoader(model_args)
    kind = getattr(import_module(f"attack.{category}.{name}"), name)
    given = []
    if kind(args, data).recommenderModelRequired:
        if not kept.exists():
            model = LightGCN(model_args, data)
            model.train()
            torch.save(model, kept)  # pickles whole objects, as ARLib itself does
        model = torch.load(kept, weights_only=False)
        model.test()  # compiles what numba compiles, which is not crafting
        given = [model]
    start = time.process_time()
    attack = kind(args, data)
    if name == "PGA":  # its projection takes the size as a share of the items, which its constructor cannot read
        attack.maliciousFeedbackSize = (attack.maliciousFeedbackNum + 0.5) / attack.itemNum
    matrix = attack.posionDataAttack(*given)
    seconds = time.process_time() - start
fakes = matrix.tocsr()[attack.userNum :] > 0
events = np.asarray(fakes.sum(axis=1)).ravel()
held = fakes[:, attack.targetItem].mean()
targets = [data.id2item[item] for item in attack.targetItem]
print(json.dumps({"cpu_s": seconds, "targets": targets, "events": events.tolist(), "held": float(held)}))
