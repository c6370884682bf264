// The receiver crashes anywhere in a commit, an apply, a prune, an update of its table, a restart.
import { receiverActs } from './acts.js';
import { explored } from './explored.js';

explored(receiverActs);
