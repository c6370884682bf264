// The sender crashes anywhere in a commit, an update of its table, a clean stop and start.
import { senderActs } from './acts.js';
import { explored } from './explored.js';

explored(senderActs);
