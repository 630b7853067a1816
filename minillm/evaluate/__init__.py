"""What a model can do: a base model with the micro-world, an assistant with tasks, one model against another."""

from minillm.data.answers import Answer, answer_prompts
from minillm.evaluate.answers import (
    Report,
    answer_tasks,
    evaluate_tasks,
    few_shot_accuracy,
    fitting_tasks,
)
from minillm.evaluate.arena import Ratings, arena_ratings, bradley_terry, elo, votes_from_scores
from minillm.evaluate.base import (
    CopyScore,
    complete,
    copying,
    evaluate_base,
    knowledge,
    reading_comprehension,
    titles,
)
from minillm.evaluate.best_of import best_of_n, expected_best, kl_bound
from minillm.evaluate.compare import TextStatistics, WinRate, bleu, text_statistics, win_rate
from minillm.evaluate.domains import best_rate, domain_comparison, domain_figures
from minillm.evaluate.examination import examination_fingerprint, task_figures
from minillm.evaluate.intervals import share_interval, tasks_needed
from minillm.evaluate.policies import (
    PolicyReport,
    answer_log_probs,
    answer_rewards,
    evaluate_policy,
)
from minillm.evaluate.rewards import ScoredPairs, reward_figures, score_pairs
from minillm.evaluate.scaling import ScalingLaw, fit_scaling_law, resampled_laws
from minillm.evaluate.tools import ToolAnswer, ToolReport, answer_tool_tasks, answer_with_tools
from minillm.evaluate.verified import (
    guess_chance,
    majority_at_k,
    pass_at_k,
    sample_counts,
    verifiable_families,
    verified_share,
)
from minillm.evaluate.visitors import Exchange, VisitorReport, meet_visitors

__all__ = [
    "Answer",
    "CopyScore",
    "Exchange",
    "PolicyReport",
    "Ratings",
    "Report",
    "ScalingLaw",
    "ScoredPairs",
    "TextStatistics",
    "ToolAnswer",
    "ToolReport",
    "VisitorReport",
    "WinRate",
    "answer_log_probs",
    "answer_prompts",
    "answer_rewards",
    "answer_tasks",
    "answer_tool_tasks",
    "answer_with_tools",
    "arena_ratings",
    "best_of_n",
    "best_rate",
    "bleu",
    "bradley_terry",
    "complete",
    "copying",
    "domain_comparison",
    "domain_figures",
    "elo",
    "evaluate_base",
    "evaluate_policy",
    "evaluate_tasks",
    "examination_fingerprint",
    "expected_best",
    "few_shot_accuracy",
    "fit_scaling_law",
    "fitting_tasks",
    "guess_chance",
    "kl_bound",
    "knowledge",
    "majority_at_k",
    "meet_visitors",
    "pass_at_k",
    "reading_comprehension",
    "resampled_laws",
    "reward_figures",
    "sample_counts",
    "score_pairs",
    "share_interval",
    "task_figures",
    "tasks_needed",
    "text_statistics",
    "titles",
    "verifiable_families",
    "verified_share",
    "votes_from_scores",
    "win_rate",
]
